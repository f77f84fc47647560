"""The HTTP edge, the archiver and object storage as a command sees them, in a thread of the test: answers are set by hand."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

PID, AT = "a/b", "/catalogue/api/v3/datasets/a%2Fb"
EXPLAIN = "GET /archiver/api/v1/datasets/a%2Fb/explain"


class Edge:
    """`answers`: "GET /path" → (status, body), or a function of the headers and the body that gives one. Also the object
    storage: bytes are sent as they are; `cut`: how many bytes of the next answers are sent before the connection ends.
    `query`: of the request that is being answered."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.seen: list[tuple[str, bytes]] = []
        self.cut: list[int] = []
        self.query: dict[str, str] = {}
        edge = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked = f"{self.command} {urlsplit(self.path).path}"
                edge.seen.append((asked, body))
                edge.query = dict(parse_qsl(urlsplit(self.path).query))
                answer = edge.answers.get(asked, (404, {"detail": "nothing here"}))
                status, told = answer(self.headers, body) if callable(answer) else answer
                raw = isinstance(told, bytes)
                data = told if raw else json.dumps(told).encode()
                self.send_response(status)
                if status == 206:
                    self.send_header("Content-Range", f"{self.headers['Range'].replace('=', ' ')}*/*")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if raw and edge.cut:
                    data, self.close_connection = data[: edge.cut.pop(0)], True
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = _answer

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def asked(self, what: str) -> list[Any]:
        return [json.loads(body or b"null") for asked, body in self.seen if asked == what]


class Facility:
    """The archiver, as far as one dataset of one upload goes: `edge` answers from its state."""

    def __init__(self, edge: Edge) -> None:
        self.status, self.files, self.version, self.blocks = "", 0, 1, 0
        self.size, self.reasons = 0, ["working"]
        self.objects: dict[str, bytes] = {}
        self._edge = edge
        edge.answers |= {
            f"GET {AT}": lambda *_: (200, self.told()) if self.status else (404, {"detail": "there is no dataset"}),
            f"GET {AT}/datablocks": lambda *_: (200, {"items": [], "next": ""}),
            EXPLAIN: lambda *_: (200, {"pid": PID, "summary": "it is", "reasons": self.reasons}),
            "POST /catalogue/api/v3/datasets": self.create,
            "POST /catalogue/api/v3/origdatablocks": self.add,
            "POST /archiver/api/v1/upload/urls": self.sign,
            "POST /archiver/api/v1/upload/finished": self.finish,
            "POST /catalogue/api/v3/jobs": self.job,
        }

    def told(self) -> dict[str, Any]:
        lifecycle = {"archiveStatusMessage": self.status, "retrievable": False}
        sizes = {"size": self.size, "numberOfFiles": self.files, "numberOfDatablocks": self.blocks}
        about = {"pid": PID, "datasetName": "", "ownerGroup": "users", "createdAt": "2026-01-01T00:00:00Z"}
        return about | sizes | {"version": self.version, "datasetlifecycle": lifecycle}

    def create(self, *_: Any) -> tuple[int, Any]:
        self.status = "filesNotReadyYet"
        return 201, self.told()

    def add(self, _: Any, body: bytes) -> tuple[int, Any]:
        listed = json.loads(body)["dataFileList"]
        self.files, self.size = self.files + len(listed), self.size + sum(one["size"] for one in listed)
        return 201, {}

    def sign(self, _: Any, body: bytes) -> tuple[int, Any]:
        paths = json.loads(body)["paths"]
        for path in paths:
            self._edge.answers[f"PUT /s3/{path}"] = self.put(path)
        return 200, {"urls": [{"path": path, "url": f"{self._edge.url}/s3/{path}"} for path in paths]}

    def put(self, path: str) -> Any:
        def take(_: Any, body: bytes) -> tuple[int, Any]:
            self.objects[path] = body
            return 200, b""

        return take

    def finish(self, *_: Any) -> tuple[int, Any]:
        said = self.told()
        self.status, self.version = "datasetCreated", self.version + 1
        return 200, said

    def job(self, _: Any, body: bytes) -> tuple[int, Any]:
        id = json.loads(body)["id"]
        ended = {"jobStatusMessage": "finishedSuccessful", "message": ""}
        self._edge.answers[f"GET /catalogue/api/v3/jobs/{id}"] = (200, ended)
        self.status = "datasetOnArchiveDisk"
        return 201, {"id": id}
