"""What the benchmarks submit, and how they know every result as soon as the event stream names it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Protocol
from uuid import UUID

import msgspec

from shared.client import Headrace
from shared.client.events import Event
from shared.contracts.compute import Options
from shared.contracts.events import Frame

_frame = msgspec.json.Decoder(Frame).decode


class Known(Protocol):
    """Counts ids, each once: a set, or what takes less room than one."""

    def update(self, ids: Iterable[UUID], /) -> None: ...
    def __len__(self) -> int: ...


async def session(client: Headrace, function: str = "noop", priority: int | None = None) -> UUID:
    return (await client.sessions.create(function, options=Options(priority=priority))).id


@asynccontextmanager
async def results(client: Headrace, session: UUID, known: Known | None = None) -> AsyncIterator["Results"]:
    """The results of a session as events name them, from before the block on. `known`: where they are counted."""
    events = client.events(session=session)
    await anext(events)
    found = Results(events, set() if known is None else known)
    reading = asyncio.create_task(found.read())
    try:
        yield found
    finally:
        reading.cancel()
        await asyncio.wait([reading])


class Results:
    """Reads events; counts each id once."""

    def __init__(self, events: AsyncIterator[Event], known: Known) -> None:
        self._events, self._known = events, known
        self._news = asyncio.Event()

    async def read(self) -> None:
        async for event in self._events:
            if event.name == "task.changed":
                self._known.update(_frame(event.data).results)
                self._news.set()

    async def all(self, count: int, timeout: float = 300) -> None:
        """Until `count` results are known."""
        async with asyncio.timeout(timeout):
            while len(self._known) < count:
                self._news.clear()
                await self._news.wait()

    def __len__(self) -> int:
        return len(self._known)


def independent(count: int) -> bytes:
    """Tasks that wait for nothing."""
    return b"{}\n" * count


def chain(count: int) -> bytes:
    """Each task waits for the one before."""
    return _lines([f'{{"inputs":["@{n - 1}"]}}' if n else "{}" for n in range(count)])


def layers(depth: int, width: int) -> tuple[bytes, int]:
    """Layers of `width` tasks, each layer closed by one that joins it and opens the next. How many tasks, too."""
    lines: list[str] = []
    for layer in range(depth):
        before = f'{{"inputs":["@{len(lines) - 1}"]}}' if layer else "{}"
        first = len(lines)
        lines += [before] * width
        lines.append('{"inputs":[' + ",".join(f'"@{first + n}"' for n in range(width)) + "]}")
    return _lines(lines), len(lines)


def _lines(lines: Iterable[str]) -> bytes:
    return "\n".join(lines).encode() + b"\n"
