"""Eviction: removes datablocks from retrieval storage that nobody needs any more, by their age, every quarter of an hour.

Needed is what a retrieval that has not ended works with, and what somebody may still download: for a while after it was
brought back, and after the last address that was handed out has expired, so that a long download can have new ones. Results of
sessions do not point here: they have their bytes under keys of their own.
"""

from collections.abc import AsyncIterator, Collection
from datetime import timedelta
from typing import Final

from services.retriever.retrieval import store
from shared.db.sql import load
from shared.objects.port import Objects, Stored
from shared.runtime.clock import Clock
from shared.runtime.log import log
from shared.service.unit import Units

Q = load(__file__, "eviction.sql")
EVERY: Final = 900.0
PORTION: Final = 100
"""Datablocks looked at, and removed, at once: new retrievals begin between two portions."""


class Sweep:
    """`keep`: how long a datablock stays after it was asked for, or brought back, and after the last address of it has expired."""

    def __init__(self, units: Units, objects: Objects, clock: Clock, keep: timedelta) -> None:
        self._units, self._objects, self._clock, self._keep = units, objects, clock, keep

    async def run_once(self) -> int:
        """How many datablocks were removed."""
        objects = freed = 0
        async for portion in _portions(self._objects):
            gone = await self._portion(portion)
            objects, freed = objects + len(gone), freed + sum(one.size for one in gone)
        if objects:
            log.info("objects.swept", room=store.ROOM, objects=objects, bytes=freed)
        return objects

    async def _portion(self, portion: list[Stored]) -> list[Stored]:
        """Evicts what is not needed of one portion. No retrieval begins meanwhile: what is there when one has begun stays until it has ended."""
        found = {store.archive_id(one.key): one for one in portion}
        if not await self._useless(self._units.pool, found):
            return []
        async with self._units.begin() as unit:
            db = unit.connection
            await Q.lock.execute(db)
            gone = await self._useless(db, found)
            await Q.set_evicted.execute(db, archive_ids=gone, now=self._clock.now())
            await self._objects.delete([found[archive].key for archive in gone])
        return [found[archive] for archive in gone]

    async def _useless(self, db: store.Db, found: Collection[str]) -> list[str]:
        since = self._clock.now() - self._keep
        needed = {row["archive_id"] for row in await Q.needed.fetch(db, archive_ids=list(found), since=since)}
        return [archive for archive in found if archive not in needed]


async def _portions(objects: Objects) -> AsyncIterator[list[Stored]]:
    portion: list[Stored] = []
    async for one in objects.list(store.ROOM):
        portion.append(one)
        if len(portion) == PORTION:
            yield portion
            portion = []
    if portion:
        yield portion
