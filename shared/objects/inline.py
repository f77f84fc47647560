"""Values of up to 16 KiB travel in messages and rows; larger ones become objects. What names either is the opaque id:
`inline:<result>`, or the object's key.
"""

from uuid import UUID

from shared.contracts.compute import Value
from shared.contracts.errors import Internal
from shared.contracts.topology import INLINE_LIMIT
from shared.contracts.work import Output
from shared.objects.layout import result_key
from shared.objects.port import Data, Objects


def fits(size: int) -> bool:
    """Whether a value of `size` bytes travels inline."""
    return size <= INLINE_LIMIT


def inline(result: UUID, value: bytes) -> Output:
    """A value that fits, ready to be reported."""
    return Output(result, len(value), data=value)


async def keep(objects: Objects, session: UUID, result: UUID, value: bytes) -> Output:
    """Makes a result's value ready to be reported: inline if it fits, otherwise stored under a fresh key."""
    if fits(len(value)):
        return inline(result, value)
    return await keep_stream(objects, session, result, value)


async def keep_stream(objects: Objects, session: UUID, result: UUID, data: Data, *, size: int | None = None) -> Output:
    """Stores a value of any size as an object under a fresh key."""
    stored = await objects.put(result_key(session, result), data, size=size)
    return Output(result, stored.size, object=stored.key, sha256=stored.sha256 or None)


async def fetch(objects: Objects, value: Value) -> bytes:
    """A result's value, wherever it lies."""
    if value.data is not None:
        return value.data
    if value.object is None:
        raise Internal(f"the value of result {value.id} lies nowhere")
    return await objects.read(value.object, limit=value.size)
