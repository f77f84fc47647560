"""Answers whose body is whole, as bare ASGI: a status, headers, one body."""

from typing import Any

import msgspec

from services.gateway.http.asgi import Receive, Scope, Send

JSON = "application/json"


class Reply:
    """An answer whose body is whole. `body`: bytes as they are, anything else as JSON."""

    __slots__ = ("body", "headers", "media_type", "status")

    def __init__(
        self, body: Any = b"", status: int = 200, *, media_type: str = JSON, headers: dict[str, str] | None = None
    ) -> None:
        self.body: bytes = body if isinstance(body, bytes) else msgspec.json.encode(body)
        self.status, self.media_type, self.headers = status, media_type, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, self.status, self.media_type, self.headers, len(self.body))
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


async def start(
    send: Send, status: int, media_type: str, headers: dict[str, str] | None = None, length: int | None = None
) -> None:
    """Sends the status line and the headers. `length` None: not known, the body goes out in chunks."""
    fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    if status not in (204, 304):
        fields.append((b"content-type", media_type.encode()))
        if length is not None:
            fields.append((b"content-length", b"%d" % length))
    await send({"type": "http.response.start", "status": status, "headers": fields})
