"""`PUT` and `GET …/results/{result}/data`: checksums, ranges and conditions as HTTP has them."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

from services.gateway.compute.values import reading, store
from services.gateway.http import reply
from services.gateway.http.asgi import Receive, Response, Scope, Send
from services.gateway.http.errors import Unsatisfiable
from services.gateway.http.reply import Reply
from services.gateway.http.request import Request
from shared.contracts import digest
from shared.contracts.compute import ResultRef
from shared.contracts.endpoints.compute import RESULT_VALUE
from shared.contracts.errors import Internal, Invalid

BYTES: Final = "application/octet-stream"
_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")


async def put_value(request: Request, ref: ResultRef) -> Reply:
    """The body is the value, of any size. A digest that is sent along is checked."""
    name, sha256 = digest.read_digest(
        {field.lower(): request.header(field.lower().encode()) for field, _ in digest.FIELDS}
    )
    body, size = request.chunks(), request.length
    try:
        return Reply(await store(request.edge, request.context, ref.result, body, size=size, sha256=sha256))
    except Invalid as error:
        if error.field == "sha256":
            raise Invalid(error.message, field=name) from None
        raise


async def get_value(request: Request, ref: ResultRef) -> Response:
    """The value, or a range of it."""
    value = await request.ask(RESULT_VALUE, ref, timeout=10)
    tag = f'"{value.checksum or value.id}"'
    headers = {"Accept-Ranges": "bytes", "ETag": tag}
    if value.checksum:
        headers["Repr-Digest"] = digest.format_digest(value.checksum)
    if _names(request.header(b"if-none-match"), tag):
        return Reply(status=304, headers=headers)
    ranged = request.header(b"range")
    if (condition := request.header(b"if-range")) and condition != tag:
        ranged = ""  # it goes on with something else: the whole
    start, end = span(ranged, value.size)
    partial = ranged != "" and (start, end) != (0, value.size)
    if partial:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{value.size}"
    status = 206 if partial else 200
    if value.data is not None:
        return Reply(value.data[start:end], status, media_type=BYTES, headers=headers)
    if value.object is None:
        raise Internal(f"the value of result {value.id} lies nowhere")
    async with AsyncExitStack() as held:
        chunks = await held.enter_async_context(reading(request.edge, request.context, value, start, end))
        first = await anext(chunks, b"")  # errors of the store come before the answer has begun
        return Download(request, first, chunks, end - start, status, headers, held.pop_all())


def _names(header: str, tag: str) -> bool:
    """Whether If-None-Match names this entity tag (RFC 9110: a weak comparison), or any."""
    tags = {one.strip().removeprefix("W/") for one in header.split(",")}
    return tag in tags or "*" in tags


def span(header: str, size: int) -> tuple[int, int]:
    """The bytes that a Range header asks for, as a slice. What is not a single range of bytes is the whole (RFC 9110)."""
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is None or (not found[1] and not found[2]):
        return 0, size
    if not found[1]:
        start, end = max(0, size - int(found[2])), size
    else:
        start = int(found[1])
        end = min(size, int(found[2]) + 1) if found[2] else size
    if start >= size or end <= start:
        raise Unsatisfiable(f"the value has {size} bytes", field="Range")
    return start, end


class Download:
    """A value on its way out of object storage; it ends when the client hangs up. `held` is released then."""

    def __init__(
        self,
        request: Request,
        first: bytes,
        chunks: AsyncIterator[bytes],
        length: int,
        status: int,
        headers: dict[str, str],
        held: AsyncExitStack,
    ) -> None:
        self._request, self._first, self._chunks = request, first, chunks
        self._length, self._status, self._headers, self._held = length, status, headers, held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(self._request.disconnected())
        try:
            await reply.start(send, self._status, BYTES, self._headers, self._length)
            await send({"type": "http.response.body", "body": self._first, "more_body": True})
            async for chunk in self._chunks:
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            await self._held.aclose()
