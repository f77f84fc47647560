"""An HTTP edge with set answers, as the `headrace` command sees it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest


class Edge:
    """`answers`: "GET /path" → (status, body) or a function of the query. `seen`, `headers`: what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.seen: list[tuple[str, dict[str, str], bytes, str]] = []
        self.headers: list[dict[str, str]] = []
        edge = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def _answer(self) -> None:
                url = urlsplit(self.path)
                body = self._body()
                asked = f"{self.command} {url.path}"
                edge.headers.append(dict(self.headers))
                edge.seen.append((asked, dict(parse_qsl(url.query)), body, self.headers["Authorization"]))
                answer = edge.answers.get(asked, (404, {"detail": "nothing here"}))
                status, received = answer(dict(parse_qsl(url.query))) if callable(answer) else answer
                data = received if isinstance(received, bytes) else json.dumps(received).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Edge]:
    """An edge that the command finds."""
    made = Edge()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HEADRACE_HTTP_URL", made.url)
    monkeypatch.setenv("HEADRACE_TOKEN", "secret")
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()
