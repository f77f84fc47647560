"""The sweep of the landing zone and of staging: removes, by its age, what nobody needs any more, every quarter of an hour.

That is: uploads that were not continued; files sent after the dataset was archived or abandoned; what killed processes left.
"""

from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from services.archiver.catalogue import layout
from services.archiver.catalogue.machine import ARCHIVE, MACHINES, ArchiveState
from services.archiver.catalogue.store.datasets import Row
from shared.db.sql import Db, load
from shared.objects.port import Objects, Stored
from shared.runtime.clock import Clock
from shared.runtime.log import log
from shared.service.unit import Units

Q = load(__file__, "sweep.sql", MACHINES)
EVERY: Final = 900.0
PORTION: Final = 500
"""Objects looked at, and removed, at once."""
LANDING, STAGING = "landing/", "staging/"
_OPEN = ARCHIVE.sources("pack")


class Seen(msgspec.Struct, frozen=True):
    """A dataset as the sweep finds it. `live`: a chain works on it. `touched`: when it was last uploaded to, at the latest.
    `stored`: it is on long-term storage, whole or damaged."""

    state: ArchiveState
    live: bool
    touched: datetime
    stored: bool = False


def is_needed(
    room: str, seen: Seen | None, created: datetime, now: datetime, keep: timedelta, *, abandoned: bool = False
) -> bool:
    """Whether a dataset's bytes in `room` have to stay. `seen` None: there is no such dataset (any more).

    What the database does not know, and was not abandoned, stays: it may be the wrong database, or an older one. The bytes of a dataset
    that waits to be packed or archived always stay.
    """
    if seen is None:
        return not abandoned or created > now - keep
    if seen.live:
        return True
    if seen.stored or seen.state is ArchiveState.DATASET_ON_ARCHIVE_DISK:
        return seen.touched > now - keep
    if seen.state in _OPEN:  # not packed: what lies in staging is of a try that failed
        return seen.touched > now - keep
    return True


class Sweep:
    """`keep`: how long an upload stays that is not continued."""

    def __init__(self, units: Units, objects: Objects, clock: Clock, keep: timedelta) -> None:
        self._units, self._objects, self._clock, self._keep = units, objects, clock, keep

    async def run_once(self) -> int:
        """How many objects were removed."""
        return sum([await self._room(room) for room in (LANDING, STAGING)])

    async def _room(self, room: str) -> int:
        objects = freed = 0
        async for portion in _portions(self._objects, room):
            gone = await self._portion(room, portion)
            objects, freed = objects + len(gone), freed + sum(one.size for one in gone)
        if objects:
            log.info("objects.swept", room=room, objects=objects, bytes=freed)
        return objects

    async def _portion(self, room: str, portion: list[Stored]) -> list[Stored]:
        """Removes what is not needed of one portion, under a lock of the datasets: who continues an upload waits, and then sees that nothing is there."""
        owners = {one.key: layout.dataset_of(one.key) for one in portion}
        useless = await self._useless(self._units.pool, room, {id for id in owners.values() if id is not None})
        if not useless:
            return []
        async with self._units.begin() as unit:
            db = unit.connection
            locked = {row["id"] for row in await Q.lock.fetch(db, ids=list(useless))}
            known = {row["id"] for row in await Q.known.fetch(db, ids=list(useless))}
            useless = await self._useless(db, room, locked | (useless - known))
            gone = [one for one in portion if owners[one.key] in useless]
            await self._objects.delete([one.key for one in gone])
            if room == LANDING:
                await Q.set_swept.execute(db, ids=list(useless), now=self._clock.now())
        return gone

    async def _useless(self, db: Db, room: str, ids: Collection[UUID]) -> set[UUID]:
        now = self._clock.now()
        seen = {row["id"]: _seen(row) for row in await Q.datasets.fetch(db, ids=list(ids))}
        abandoned = {row["id"] for row in await Q.abandoned.fetch(db, ids=list(ids))}

        def needed(id: UUID) -> bool:
            return is_needed(room, seen.get(id), _created(id), now, self._keep, abandoned=id in abandoned)

        return {id for id in ids if not needed(id)}


def _seen(row: Row) -> Seen:
    touched = max(row["updated_at"], row["addresses_until"] or row["updated_at"])
    return Seen(ArchiveState(row["archive_state"]), row["live"], touched, row["retrievable"])


def _created(dataset: UUID) -> datetime:
    """The time that a UUIDv7 begins with."""
    return datetime.fromtimestamp((dataset.int >> 80) / 1000, UTC)


async def _portions(objects: Objects, room: str) -> AsyncIterator[list[Stored]]:
    portion: list[Stored] = []
    async for one in objects.list(room):
        portion.append(one)
        if len(portion) == PORTION:
            yield portion
            portion = []
    if portion:
        yield portion
