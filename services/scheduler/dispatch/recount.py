"""Counts the outstanding tasks of a partition in the tables, now and then, and sets right what was counted here.

A report that comes late, of a task that had been taken back, counts twice; so does what is on its way between a commit and the
count. So only a quiet moment counts, and of two counts in a row that are equal the second is believed.
"""

import time
from collections.abc import Iterable
from typing import Protocol

from services.scheduler.dispatch.partition import Partition
from services.scheduler.machine import MACHINES
from shared.db.sql import Db, load
from shared.runtime.clock import Clock
from shared.runtime.log import log

Q = load(__file__, "recount.sql", MACHINES)

CALM = 0.5
"""Seconds without a task that was chosen or ended, after which those outstanding are counted."""
COUNTED = 100_000
"""Most tasks that are read for that, of all partitions."""
REST = 30
"""For so many times as long as a count took, a partition is not counted again: with slow tasks, each pause would ask for it."""


class Wake(Protocol):
    """Who looks at partitions again: `Gossip`."""

    async def wake(self, numbers: Iterable[int] | None = None) -> None: ...


async def count_outstanding(db: Db, partition: int, limit: int = COUNTED) -> int | None:
    """How many tasks were chosen and have not ended. None: more than `limit` tasks would have to be read."""
    count: int | None = await Q.count_outstanding.fetchval(db, partition=partition, limit=limit)
    return count


class Recount:
    """`dispatch` looks again where the count has changed."""

    def __init__(self, pool: Db, clock: Clock, dispatch: Wake) -> None:
        self._pool, self._clock, self._dispatch = pool, clock, dispatch
        self._rests_until: dict[int, float] = {}  # by partition
        self._last: dict[int, tuple[float, int]] = {}  # by partition: its `changed_at`, and what was counted

    async def count_sparingly(self, partition: Partition) -> None:
        """Counts, unless the partition's last count took long, and not long ago."""
        began = self._clock.monotonic()
        if began < self._rests_until.get(partition.number, began):
            return
        await self.count(partition)
        ended = self._clock.monotonic()
        self._rests_until[partition.number] = ended + REST * (ended - began)

    async def count(self, partition: Partition) -> None:
        """Counts if the partition is dispatched here, calm, and has changed since it was counted last."""
        changed = partition.changed_at
        is_calm = time.monotonic() - changed >= CALM
        if not partition.dispatched_here or changed == partition.recounted_at or not is_calm:
            return
        count = await count_outstanding(self._pool, partition.number)
        if count is not None and self._last.get(partition.number) != (changed, count):
            self._last[partition.number] = (changed, count)
            return
        if partition.changed_at != changed or not partition.dispatched_here or partition.held:
            return
        partition.recounted_at = changed
        if count is not None and count != partition.outstanding:
            log.info("partition.recounted", partition=partition.name, was=partition.outstanding, now=count)
            partition.outstanding = count
            partition.rebuilds += 1
            await self._dispatch.wake([partition.number])
