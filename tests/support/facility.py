"""The HTTP edge, the archiver and object storage as a command sees them, in a thread of the test: answers are set by hand."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

PID, AT = "a/b", "/data/v1/datasets/a%2Fb"
UPLOADS = "/archiver/api/v1/datasets/a%2Fb/uploads"
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
            disable_nagle_algorithm = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                if len(body) < length:  # whoever sent it broke off: no object
                    self.close_connection = True
                    return
                asked = f"{self.command} {urlsplit(self.path).path}"
                edge.seen.append((asked, body))
                edge.query = dict(parse_qsl(urlsplit(self.path).query))
                answer = edge.answers.get(asked, (404, {"detail": "nothing here"}))
                status, received = answer(self.headers, body) if callable(answer) else answer
                raw = isinstance(received, bytes)
                data = received if raw else json.dumps(received).encode()
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
        self.status, self.version, self.blocks = "", 1, 0
        self.reasons = ["working"]
        self.registered: dict[str, dict[str, Any]] = {}
        self.objects: dict[str, bytes] = {}
        self._edge = edge
        edge.answers |= {
            f"GET {AT}": lambda *_: (200, self.received()) if self.status else (404, {"detail": "there is no dataset"}),
            f"GET {AT}/datablocks": lambda *_: (200, {"items": [], "next": ""}),
            f"GET {UPLOADS}": self.uploads,
            EXPLAIN: lambda *_: (200, {"pid": PID, "summary": "it is", "reasons": self.reasons}),
            "POST /data/v1/datasets": self.create,
            "POST /data/v1/origdatablocks": self.add,
            "POST /archiver/api/v1/upload/urls": self.sign,
            "POST /archiver/api/v1/upload/finished": self.finish,
            "POST /data/v1/jobs": self.job,
        }

    def received(self) -> dict[str, Any]:
        lifecycle = {"archiveStatusMessage": self.status, "retrievable": False}
        size = sum(one["size"] for one in self.registered.values())
        sizes = {"size": size, "numberOfFiles": len(self.registered), "numberOfDatablocks": self.blocks}
        about = {"id": "d", "pid": PID, "datasetName": "", "ownerGroup": "users", "createdAt": "2026-01-01T00:00:00Z"}
        return about | sizes | {"version": self.version, "datasetlifecycle": lifecycle}

    def create(self, *_: Any) -> tuple[int, Any]:
        self.status = "filesNotReadyYet"
        return 201, self.received()

    def forget(self) -> None:
        """As if nothing had been registered, nor uploaded."""
        self.status, self.registered, self.objects = "", {}, {}

    def add(self, _: Any, body: bytes) -> tuple[int, Any]:
        asked = json.loads(body)
        listed = {one["path"]: one for one in asked["dataFileList"]}
        if (both := listed.keys() & self.registered.keys()) and not asked.get("replace"):
            return 409, {"detail": f"it has a file {min(both)!r} already", "code": "already_exists"}
        for path in both:
            self.objects.pop(path, None)
        self.registered |= listed
        return 201, {}

    def uploads(self, *_: Any) -> tuple[int, Any]:
        """In pages of two."""
        after = [path for path in sorted(self.registered) if path > self._edge.query.get("token", "")]
        items = [self.registered[path] | {"uploaded": self._is_whole(path)} for path in after[:2]]
        return 200, {"items": items, "next": after[1] if len(after) > 2 else ""}

    def _is_whole(self, path: str) -> bool:
        return path in self.objects and len(self.objects[path]) == self.registered[path]["size"]

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
        said = self.received()
        self.status, self.version = "datasetCreated", self.version + 1
        return 200, said

    def job(self, _: Any, body: bytes) -> tuple[int, Any]:
        id = json.loads(body)["id"]
        ended = {"jobStatusMessage": "finishedSuccessful", "message": ""}
        self._edge.answers[f"GET /data/v1/jobs/{id}"] = (200, ended)
        self.status = "datasetOnArchiveDisk"
        return 201, {"id": id}
