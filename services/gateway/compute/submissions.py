"""Submissions of any length: newline-delimited JSON, passed on to the scheduler in chunks as it comes.

Up to four chunks are under way at once; the last one goes out when all others were answered, because it is what makes the
submission visible. A body that ends early, or a chunk that is refused, means that the last one is never sent: nothing becomes
visible, and the scheduler's sweeper removes what had arrived.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

import msgspec

from services.gateway.compute.chunks import Chunk, Cutter
from shared.bus.client import Bus
from shared.contracts import headers as h
from shared.contracts.compute import Options
from shared.contracts.endpoints.compute import SUBMISSION_CHUNK
from shared.contracts.errors import HeadraceError
from shared.service.ask import ask_raw
from shared.service.context import Context

UNDER_WAY: Final = 4
"""Chunks that the scheduler has not answered yet, at most."""
_CHUNK_SECONDS: Final = 60.0
_TASK = re.compile(r"^tasks\[(-?\d+)\]")


def keyed_id(user: str, session: UUID, key: str) -> UUID:
    """The submission's id that an idempotency key stands for. The session's time leads, so that the rows lie near the session's others."""
    seed = hashlib.sha256(f"{user}\0{session}\0{key}".encode()).digest()
    chance = int.from_bytes(seed, "big")
    milliseconds = session.int >> 80 & (1 << 48) - 1
    high = milliseconds << 80 | 7 << 76 | (chance & 0xFFF) << 64
    return UUID(int=high | 2 << 62 | (chance >> 12 & (1 << 29) - 1) << 33)


async def submit_lines(
    bus: Bus, context: Context, session: UUID, submission: UUID, options: Options | None, body: AsyncIterator[bytes]
) -> bytes:
    """Submits `body`, one task a line, under the id `submission`. `options` hold for all of its tasks.

    Returns the Submission, as JSON. Raises what the scheduler refuses with, the line counted from the start of the body.
    """
    headers = {h.SESSION: str(session), h.SUBMISSION: str(submission)}
    if options is not None:
        headers[h.OPTIONS] = _ascii_json(options)
    return await _Sending(bus, context, headers).run(body)


def _ascii_json(options: Options) -> str:
    """It travels as a header."""
    plain = msgspec.json.encode(options).decode()
    return "".join(c if c.isascii() else _escaped(c) for c in plain)


def _escaped(character: str) -> str:
    return "".join(f"\\u{unit:04x}" for unit in memoryview(character.encode("utf-16-le")).cast("H"))


class _Sending:
    """One body on its way to the scheduler."""

    def __init__(self, bus: Bus, context: Context, headers: dict[str, str]) -> None:
        self._bus, self._context, self._headers = bus, context, headers
        self._tasks: set[asyncio.Task[bytes]] = set()

    async def run(self, body: AsyncIterator[bytes]) -> bytes:
        cutter = Cutter()
        try:
            async for data in body:
                for chunk in cutter.feed(data):
                    await self._hand_over(chunk)
            last = cutter.finish()
            if self._tasks:
                await self._collect(asyncio.ALL_COMPLETED)
            return await self._send(last, last=True)
        finally:
            for task in self._tasks:
                task.cancel()

    async def _hand_over(self, chunk: Chunk) -> None:
        """Sends a chunk; waits while too many are under way, and so keeps the client waiting."""
        while len(self._tasks) >= UNDER_WAY:
            await self._collect(asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(self._send(chunk))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # looked at, whoever is left to care
        self._tasks.add(task)

    async def _collect(self, until: str) -> None:
        """Waits for chunks that are under way, and raises what one of them was refused with."""
        done, self._tasks = await asyncio.wait(self._tasks, return_when=until)
        for task in done:
            task.result()

    async def _send(self, chunk: Chunk, *, last: bool = False) -> bytes:
        headers = self._headers | {h.CHUNK: str(chunk.number), h.FIRST: str(chunk.first)}
        if last:
            headers[h.LAST] = "1"
        try:
            return await ask_raw(
                self._bus, SUBMISSION_CHUNK, chunk.data, self._context, headers=headers, timeout=_CHUNK_SECONDS
            )
        except HeadraceError as error:
            raise placed(error, chunk.first) from None


def placed(error: HeadraceError, first: int) -> HeadraceError:
    """The error with the line counted from the start of the body, not of the chunk."""
    if first and (found := _TASK.match(error.field)):
        field = f"tasks[{int(found[1]) + first}]{error.field[found.end() :]}"
        return type(error)(error.message, field=field)
    return error
