"""The bytes of results. Small values travel with the request; larger ones stream between client and object storage.

Each writer has a fresh key, and the scheduler's guard picks the winner: a writer that is refused deletes its own object, and
nobody's bytes are overwritten.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from uuid import UUID

from services.gateway.edge import Edge
from shared.contracts import digest
from shared.contracts.compute import ResultComplete, ResultRef, Value
from shared.contracts.endpoints.compute import RESULT_COMPLETE, RESULT_GET
from shared.contracts.errors import Conflict, HeadraceError, Invalid
from shared.contracts.states import ResultStatus, name_of
from shared.contracts.topology import INLINE_LIMIT
from shared.objects.layout import result_key
from shared.runtime.log import log
from shared.service.ask import ask, ask_raw
from shared.service.context import Context


async def store(
    edge: Edge, context: Context, result: UUID, body: AsyncIterator[bytes], *, size: int | None = None, sha256: str = ""
) -> bytes:
    """Gives a created result its value: the bytes of `body`, any number of them.

    size     bytes that the body has, if that is known before
    sha256   in hex; if it is given and the body's is another, the value is not taken: Invalid, field `sha256`

    Returns the Result, as JSON. Raises Conflict if the result has a value or will get it from a task, and RateLimited if the user
    has too many values on their way.
    """
    head = bytearray()
    async for chunk in body:
        head += chunk
        if len(head) > INLINE_LIMIT:
            return await _store_object(edge, context, result, _joined(bytes(head), body), size, sha256)
    found = hashlib.sha256(head).hexdigest()
    if sha256 and found != sha256:
        raise Invalid(f"the body's digest is {digest.format_digest(found)}", field="sha256")
    message = ResultComplete(result, data=bytes(head), size=len(head), sha256=found)
    return await ask_raw(edge.bus, RESULT_COMPLETE, message, context, timeout=30)


async def _joined(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for chunk in rest:
        yield chunk


async def _store_object(
    edge: Edge, context: Context, result: UUID, body: AsyncIterator[bytes], size: int | None, sha256: str
) -> bytes:
    # Asked before gigabytes are stored in vain; what decides is the guard of `complete`. The results of a session that
    # takes no values any more are not created: whatever ends it ends them.
    found = await ask(edge.bus, RESULT_GET, ResultRef(result), context, timeout=10)
    if found.status != name_of(ResultStatus.CREATED):
        raise Conflict(f"result {found.id} is {found.status}; a value can only be given while it is created")
    if found.owner_task is not None:
        raise Conflict(f"result {found.id} is produced by task {found.owner_task}")
    async with edge.transfers.admit(context.user):
        stored = await edge.objects.put(result_key(found.session, found.id), body, size=size, sha256=sha256)
    message = ResultComplete(found.id, object=stored.key, size=stored.size, sha256=stored.sha256)
    try:
        return await ask_raw(edge.bus, RESULT_COMPLETE, message, context, timeout=30)
    except HeadraceError as error:
        # After an outage nobody here knows whether it was taken all the same: the object stays. If it was not, it lies
        # there unused, under the session's prefix, and the client sends the value again.
        if not error.retryable:
            await edge.objects.delete([stored.key])
            log.info("result.refused", result=found.id, key=stored.key, why=error.code)
        raise


@asynccontextmanager
async def reading(
    edge: Edge, context: Context, value: Value, start: int, end: int
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The bytes from `start` to `end` of a value that lies in object storage, as they come, for the length of the block."""
    assert value.object is not None
    async with (
        edge.transfers.admit(context.user),
        aclosing(edge.objects.get(value.object, start=start, end=end)) as data,
    ):
        yield data
