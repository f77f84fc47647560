"""The bytes of results. Small values travel with the request; larger ones stream between client and object storage.

Each writer has a fresh key, and the scheduler's guard picks the winner: a writer that is refused deletes its own object, and
nobody's bytes are overwritten.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from uuid import UUID

import msgspec
from litestar.types import ASGIApp, Receive, Scope, Send

from services.gateway.http import reply
from services.gateway.http.errors import Unsatisfiable
from services.gateway.http.reply import Reply
from services.gateway.http.request import Call
from shared.contracts import digest
from shared.contracts.compute import Result, ResultComplete, ResultRef, Value
from shared.contracts.errors import Conflict, HeadraceError, Internal, Invalid
from shared.contracts.states import ResultStatus, name_of
from shared.contracts.topology import INLINE_LIMIT
from shared.objects.layout import result_key
from shared.runtime.log import log

BYTES = "application/octet-stream"
_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")


async def put(call: Call) -> Reply:
    """PUT /compute/v1/results/{result}/data: the body is the value, of any size. A digest that is sent along is checked."""
    result = call.uuid("result")
    name, wanted = digest.read_digest(
        {field.lower(): call.header(field.lower().encode()) for field, _ in digest.FIELDS}
    )
    body = call.chunks()
    head = bytearray()
    async for chunk in body:
        head += chunk
        if len(head) > INLINE_LIMIT:
            return await _put_object(call, result, whole(bytes(head), body), name, wanted)
    found = hashlib.sha256(head).hexdigest()
    if wanted and found != wanted:
        raise _other(name, found)
    asked = ResultComplete(result, data=bytes(head), size=len(head), sha256=found)
    return Reply(bytes(await call.scheduler("result.complete", asked, msgspec.Raw)))


async def whole(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for chunk in rest:
        yield chunk


async def _put_object(call: Call, result: UUID, body: AsyncIterator[bytes], name: str, wanted: str) -> Reply:
    # Asked before gigabytes are stored in vain; what decides is the guard of `complete`. The results of a session that
    # takes no values any more are not created: whatever ends it ends them.
    found = await call.scheduler("result.get", ResultRef(result), Result, timeout=10)
    if found.status != name_of(ResultStatus.CREATED):
        raise Conflict(f"result {found.id} is {found.status}; a value can only be given while it is created")
    if found.owner_task is not None:
        raise Conflict(f"result {found.id} is produced by task {found.owner_task}")
    objects = call.edge.objects
    announced = call.header(b"content-length")
    size = int(announced) if announced.isdigit() else None
    try:
        async with call.edge.transfers.admit(call.user):
            stored = await objects.put(result_key(found.session, found.id), body, size=size, sha256=wanted)
    except Invalid as error:
        if error.field == "sha256":
            raise Invalid(error.message, field=name) from None
        raise
    message = ResultComplete(found.id, object=stored.key, size=stored.size, sha256=stored.sha256)
    try:
        return Reply(bytes(await call.scheduler("result.complete", message, msgspec.Raw)))
    except HeadraceError as error:
        # After an outage nobody here knows whether it was taken all the same: the object stays. If it was not, it lies
        # there unused, under the session's prefix, and the client sends the value again.
        if not error.retryable:
            await objects.delete([stored.key])
            log.info("result.refused", result=found.id, key=stored.key, why=error.code)
        raise


def _other(name: str, found: str) -> Invalid:
    return Invalid(f"the body's digest is {digest.format_digest(found)}", field=name)


async def get(call: Call) -> ASGIApp:
    """GET /compute/v1/results/{result}/data: the value, or a range of it."""
    value = await call.scheduler("result.value", ResultRef(call.uuid("result")), Value, timeout=10)
    tag = f'"{value.checksum or value.id}"'
    headers = {"Accept-Ranges": "bytes", "ETag": tag}
    if value.checksum:
        headers["Repr-Digest"] = digest.format_digest(value.checksum)
    if _names(call.header(b"if-none-match"), tag):
        return Reply(status=304, headers=headers)
    asked = call.header(b"range")
    if (condition := call.header(b"if-range")) and condition != tag:
        asked = ""  # it goes on with something else: the whole
    start, end = span(asked, value.size)
    partial = asked != "" and (start, end) != (0, value.size)
    if partial:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{value.size}"
    status = 206 if partial else 200
    if value.data is not None:
        return Reply(value.data[start:end], status, media_type=BYTES, headers=headers)
    if value.object is None:
        raise Internal(f"the value of result {value.id} lies nowhere")
    async with AsyncExitStack() as held:
        await held.enter_async_context(call.edge.transfers.admit(call.user))
        chunks = await held.enter_async_context(aclosing(call.edge.objects.get(value.object, start=start, end=end)))
        first = await anext(chunks, b"")  # errors of the store come before the answer has begun
        return Download(call, first, chunks, end - start, status, headers, held.pop_all())


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
        call: Call,
        first: bytes,
        chunks: AsyncIterator[bytes],
        length: int,
        status: int,
        headers: dict[str, str],
        held: AsyncExitStack,
    ) -> None:
        self._call, self._first, self._chunks = call, first, chunks
        self._length, self._status, self._headers, self._held = length, status, headers, held

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
            await self._held.aclose()
