"""Placement: a task goes only where its function is (docs/adr/0023-function-placement.md).

Workers say in their heartbeats which functions they have. What no live worker of the partition has is not chosen. What was
chosen all the same (a lane of several functions, a task released by a report), or reached a worker without its function, is
*set aside*: it leaves the window, and has its turn again when there may be room for it, so many at a time and so often. Where
every worker has every function, which is nearly everywhere, nothing of this happens.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg

from services.scheduler import store
from services.scheduler.dispatch.pace import LARGEST
from services.scheduler.machine import TASK
from shared.contracts.work import Beat
from shared.runtime.log import log

if TYPE_CHECKING:
    from services.scheduler.dispatch.partition import Partition

Q = store.Q
TICK = 0.1
"""Seconds between two tries to place what was set aside."""
BUSY = 1.0
"""Seconds between two tries while all workers that have the function are busy with something else."""
LATELY = 2.0
"""Seconds after a task of a function has ended in which there may be room for another: a heartbeat is as old as that."""

SHOWN = 20
"""Functions that nobody has, named with how many tasks wait for them."""


class Functions:
    """Of one partition: which functions its live workers have, and which of these are chosen now.

    offered   None: no live worker is known, so nobody knows; the first that comes takes what is in the queue
    open      those of `offered` of which not too many wait already, set aside: only of these, lanes and reports choose; None: all
    waiting   something was set aside, or is still
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.offered: frozenset[str] | None = None
        self.open: frozenset[str] | None = None
        self.waiting = False
        self._ran: dict[str, float] = {}
        self._tried: dict[str, float] = {}
        self._looked = -TICK

    def offer(self, beats: Collection[Beat]) -> None:
        """The live workers have changed, or their functions."""
        self.offered = frozenset(name for beat in beats for name in beat.functions) if beats else None
        self.open, self._looked, self._tried = self.offered, -TICK, {}
        self._ran = {name: at for name, at in self._ran.items() if name in (self.offered or ())}

    def ran(self, function: str) -> None:
        """A task of it has ended."""
        if self.offered is not None and function in self.offered:
            self._ran[function] = self._clock()

    def due(self) -> bool:
        """Whether it is time to look at what was set aside; from now on it is not, for a while."""
        if not self.offered or self._clock() - self._looked < TICK:
            return False
        self._looked = self._clock()
        return True

    def close(self, names: Collection[str]) -> None:
        """Of these too many wait: no more are chosen before those have gone."""
        if self.offered is not None:
            self.open = self.offered.difference(names)

    def allowance(self, function: str, beats: Collection[Beat], window: Callable[[int], int]) -> int:
        """How many tasks of a function, set aside, have their turn now. `window`: tasks that may be out with so many slots."""
        having = [beat for beat in beats if function in beat.functions]
        if not having:
            return 0
        if len(having) == len(beats):
            return LARGEST  # wherever they go, they are right
        slots, now = sum(beat.slots for beat in having), self._clock()
        if all(len(beat.holds) >= beat.slots for beat in having) and now - self._ran.get(function, -LATELY) >= LATELY:
            if now - self._tried.get(function, -BUSY) < BUSY:
                return 0
            self._tried[function] = now
            return slots
        return window(slots)


class Placement:
    """What is set aside, in the tables."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool

    async def split(
        self, partition: "Partition", rows: Sequence[Any], placed: frozenset[str] | None
    ) -> tuple[Sequence[Any], int]:
        """Of tasks that were chosen: those whose function is in `placed` (None: all), and how many were set aside. Those of
        sessions that have ended meanwhile are neither."""
        if placed is None or placed.issuperset({row["function"] for row in rows}):
            return rows, 0
        partition.functions.waiting = True
        others = [row for row in rows if row["function"] not in placed]
        others.sort(key=lambda row: row["id"])  # rows are locked in the order of ids, everywhere
        blank = [""] * len(others)
        aside = await self._pool.fetch(
            Q["set_aside"],
            [row["id"] for row in others],
            [row["attempt"] for row in others],
            blank,
            blank,
            TASK.sources("give back"),
        )
        return [row for row in rows if row["function"] in placed], len(aside)

    async def look(self, partition: "Partition") -> None:
        """Gives those set aside their turn again, as far as there may be room; at most every `TICK` seconds."""
        if not partition.functions.due():
            return
        try:
            await self._place(partition)
        except Exception as error:  # nothing was chosen: the queue is as it was, and so it is tried again
            log.warning("placement.failed", partition=partition.name, error=repr(error))

    async def _place(self, partition: "Partition") -> None:
        functions, beats = partition.functions, [beat for beat, _ in partition.workers.values()]
        found = await self._pool.fetch(Q["placeable"], partition.number, list(functions.offered or ()), LARGEST + 1)
        closed = []
        for row in found:
            allowed = functions.allowance(row["function"], beats, partition.pace.window)
            if allowed:
                await self._pool.execute(Q["place"], partition.number, row["function"], allowed)
            if row["tasks"] > allowed:
                closed.append(row["function"])
        functions.close(closed)
        functions.waiting = bool(found)


def unplaced(rows: Sequence[Any], partitions: Mapping[int, "Partition"]) -> dict[int, dict[str, int]]:
    """Ready tasks by partition and function: of functions that no live worker of the partition has, the most wanted first."""
    counts: dict[int, dict[str, int]] = {}
    for row in sorted(rows, key=lambda row: -row["tasks"]):
        partition = partitions.get(row["partition"])
        offered = None if partition is None else partition.functions.offered
        own = counts.setdefault(row["partition"], {})
        if row["function"] not in (offered or ()) and len(own) < SHOWN:
            own[row["function"]] = row["tasks"]
    return counts
