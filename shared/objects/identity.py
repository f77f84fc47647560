"""Which storage this is. A storage, share or bucket, carries a marker with its identity, written once by
`headrace storage init`.

A share that is not mounted looks like an empty folder, and a bucket made anew like one in which nothing was ever kept. So
without the right marker nothing is written there, nothing read, and nothing believed, not even that an object is not there:
the storage is Unavailable, and who needs it waits. What is the right one: the name comes from the settings; the id from the
settings, or from the first marker of that name that the service ever saw, which it records. Why: docs/adr/0025.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID, uuid4

import msgspec

from shared.contracts.errors import Unavailable
from shared.objects.layout import MARKER
from shared.runtime.clock import SystemClock, rfc3339
from shared.runtime.log import log

FRESH: Final = 5.0
"""Seconds for which a bucket's marker is believed after it was read. A share's is read with every operation."""


class Identity(msgspec.Struct, frozen=True):
    """What a marker says. `created_at`: RFC 3339, for people."""

    name: str
    id: UUID
    created_at: str


Record = Callable[[str, UUID], Awaitable[UUID]]
"""(name, the id seen) → the id that counts: the recorded one, which is the one seen if there was none."""


def new(name: str) -> Identity:
    """An identity that no other storage has."""
    return Identity(name, uuid4(), rfc3339(SystemClock().now()))


def encode(identity: Identity) -> bytes:
    """A marker's bytes."""
    return msgspec.json.format(msgspec.json.encode(identity)) + b"\n"


def decode(marker: bytes, place: str) -> Identity:
    """Unavailable if the bytes are no marker. `place`: where they were read, for the message."""
    try:
        return msgspec.json.decode(marker, type=Identity)
    except msgspec.MsgspecError as error:
        raise Unavailable(f"{place}: {MARKER} is not a storage's marker: {error}") from None


class Guard:
    """Lets operations pass only where the marker is that of the storage `name`.

    `id`: the one that is expected, if it is configured. `record`: keeps the id that was seen first; without it the process
    remembers it.
    """

    def __init__(self, name: str, id: UUID | None = None, record: Record | None = None) -> None:
        self.name, self._id, self._record = name, id, record

    async def admit(self, marker: bytes | None, place: str) -> None:
        """Unavailable unless `marker` (None: there is none) is the right one. `place`: the folder or bucket."""
        if marker is None:
            raise Unavailable(
                f"{place} has no {MARKER}: storage {self.name!r} is not mounted there, "
                "or was not made by `headrace storage init`"
            )
        found = decode(marker, place)
        if found.name != self.name:
            raise Unavailable(f"{place} is storage {found.name!r}, not {self.name!r}")
        if self._id is None:
            self._id = found.id if self._record is None else await self._record(self.name, found.id)
            log.info("storage.recorded", storage=self.name, id=str(self._id), place=place)
        if found.id != self._id:
            raise Unavailable(f"{place} is another storage called {self.name!r}: its id is {found.id}, not {self._id}")


class Freshness:
    """Reads the marker of a storage over a network no more often than it must; many at once share one reading.

    `look`: reads the marker and holds it to the guard.
    """

    def __init__(self, look: Callable[[], Awaitable[None]], fresh: float = FRESH) -> None:
        self._look, self._fresh = look, fresh
        self._begun = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    async def recent(self) -> None:
        """Unavailable unless the marker was right a few seconds ago."""
        await self._since(time.monotonic() - self._fresh)

    async def now(self) -> None:
        """Unavailable unless the marker is right now: before it is believed that something is not there."""
        await self._since(time.monotonic())

    async def _since(self, moment: float) -> None:
        while self._begun < moment:
            if self._looking is None:
                self._looking = asyncio.create_task(self._run())
                self._looking.add_done_callback(_retrieved)
            await asyncio.shield(self._looking)

    async def _run(self) -> None:
        begun = time.monotonic()
        try:
            await self._look()
            self._begun = begun
        finally:
            self._looking = None


def _retrieved(task: asyncio.Task[None]) -> None:
    """Marks the error of a finished task as seen, since nobody may be waiting for it."""
    if not task.cancelled():
        task.exception()
