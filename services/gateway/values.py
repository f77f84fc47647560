"""The bytes of results. Small values travel with the request; larger ones stream between client and object storage.

Each writer has a fresh key, and the scheduler's guard picks the winner: a writer that is refused deletes its own object, and
nobody's bytes are overwritten.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec
from litestar.types import ASGIApp, Receive, Scope, Send

from services.gateway import reply
from services.gateway.call import Call
from services.gateway.problem import Unsatisfiable
from services.gateway.reply import Reply
from shared.contracts.compute import Result, ResultComplete, ResultRef, Value
from shared.contracts.errors import Conflict, HeadraceError, Internal
from shared.contracts.states import ResultStatus, name_of
from shared.contracts.topology import INLINE_LIMIT
from shared.objects.layout import result_key
from shared.runtime.log import log

BYTES = "application/octet-stream"
_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")


async def put(call: Call) -> Reply:
    """PUT /compute/v1/results/{result}/data: the body is the value, of any size."""
    result = call.uuid("result")
    body = call.chunks()
    head = bytearray()
    async for chunk in body:
        head += chunk
        if len(head) > INLINE_LIMIT:
            return await _put_object(call, result_of=ResultRef(result), head=bytes(head), rest=body)
    done = await call.scheduler(
        "result.complete", ResultComplete(result, data=bytes(head), size=len(head)), msgspec.Raw
    )
    return Reply(bytes(done))


async def _put_object(call: Call, result_of: ResultRef, head: bytes, rest: AsyncIterator[bytes]) -> Reply:
    # Asked before gigabytes are stored in vain; what decides is the guard of `complete`.
    found = await call.scheduler("result.get", result_of, Result, timeout=10)
    if found.status != name_of(ResultStatus.CREATED):
        raise Conflict(f"result {found.id} is {found.status}; a value can only be given while it is created")

    async def whole() -> AsyncIterator[bytes]:
        yield head
        async for chunk in rest:
            yield chunk

    objects = call.edge.objects
    announced = call.header(b"content-length")
    size = int(announced) if announced.isdigit() else None
    stored = await objects.put(result_key(found.session, found.id), whole(), size=size)
    message = ResultComplete(found.id, object=stored.key, size=stored.size)
    try:
        return Reply(bytes(await call.scheduler("result.complete", message, msgspec.Raw)))
    except HeadraceError as error:
        # After an outage nobody here knows whether it was taken all the same: the object stays. If it was not, it lies
        # there unused, under the session's prefix, and the client sends the value again.
        if not error.retryable:
            await objects.delete([stored.key])
            log.info("result.refused", result=found.id, key=stored.key, why=error.code)
        raise


async def get(call: Call) -> ASGIApp:
    """GET /compute/v1/results/{result}/data: the value, or a range of it."""
    value = await call.scheduler("result.value", ResultRef(call.uuid("result")), Value, timeout=10)
    start, end = span(call.header(b"range"), value.size)
    partial = call.header(b"range") != "" and (start, end) != (0, value.size)
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{value.id}"'}
    if partial:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{value.size}"
    status = 206 if partial else 200
    if value.data is not None:
        return Reply(value.data[start:end], status, media_type=BYTES, headers=headers)
    if value.object is None:
        raise Internal(f"the value of result {value.id} lies nowhere")
    chunks = call.edge.objects.get(value.object, start=start, end=end)
    first = await anext(chunks, b"")  # errors of the store come before the answer has begun
    return Download(call, first, chunks, end - start, status, headers)


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
    """A value on its way out of object storage; it ends when the client hangs up."""

    def __init__(
        self, call: Call, first: bytes, chunks: AsyncIterator[bytes], length: int, status: int, headers: dict[str, str]
    ) -> None:
        self._call, self._first, self._chunks = call, first, chunks
        self._length, self._status, self._headers = length, status, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(self._call.gone())
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
            if isinstance(self._chunks, AsyncGenerator):
                await self._chunks.aclose()
