"""Cuts what is put into pieces, and holds it to what was announced."""

from collections.abc import AsyncGenerator, AsyncIterator

from shared.contracts.errors import Invalid, TooLarge
from shared.objects.port import Data

Piece = bytes | memoryview


async def cut(
    data: Data, length: int, *, size: int | None = None, limit: int | None = None
) -> AsyncGenerator[Piece, None]:
    """Pieces of exactly `length` bytes, the last one shorter; at least one, which may be empty.

    Invalid when there are not `size` bytes in the end, TooLarge as soon as there are more than `limit`.
    """
    if limit is not None and size is not None and size > limit:
        raise TooLarge(f"{size} bytes; at most {limit} are allowed")
    chunks = _once(data) if isinstance(data, bytes | bytearray | memoryview) else data
    held: list[Piece] = []
    have = total = 0
    try:
        async for chunk in chunks:
            total += len(chunk)
            if limit is not None and total > limit:
                raise TooLarge(f"more than the {limit} bytes that are allowed")
            if size is not None and total > size:
                raise Invalid(f"more than the {size} bytes that were announced", field="size")
            rest = memoryview(chunk)
            while have + len(rest) >= length:
                room = length - have
                yield b"".join([*held, rest[:room]]) if held else rest[:room]
                held, have, rest = [], 0, rest[room:]
            if rest:
                held.append(rest)
                have += len(rest)
    finally:
        if close := getattr(chunks, "aclose", None):
            await close()
    if size is not None and total != size:
        raise Invalid(f"{total} bytes came, {size} were announced", field="size")
    if held or not total:
        yield b"".join(held)


async def _once(data: bytes | bytearray | memoryview) -> AsyncIterator[Piece]:
    yield memoryview(data)
