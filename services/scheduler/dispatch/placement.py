"""Placement: a task goes only where its function is (docs/adr/0023-function-placement.md).

Workers say in their heartbeats which functions they have. A task whose function no live worker of the partition has is not chosen.
What was chosen all the same (a lane of several functions, a task released by a report), or reached a worker without its function,
is *set aside*: it leaves the window, and has its turn again when there may be room for it. Where every worker has every function,
which is nearly everywhere, nothing of this happens.
"""

from collections.abc import Sequence

from services.scheduler.dispatch.pace import LARGEST
from services.scheduler.dispatch.partition import Partition
from services.scheduler.dispatch.unplaced import UnplacedTasks
from shared.db.sql import Row
from shared.runtime.log import log


class Placement:
    """Sets aside what cannot be placed, and places it later."""

    def __init__(self, unplaced: UnplacedTasks) -> None:
        self._unplaced = unplaced

    async def split(
        self, partition: Partition, rows: Sequence[Row], placeable: frozenset[str] | None
    ) -> tuple[Sequence[Row], int]:
        """Sets aside the tasks whose function is not in `placeable` (None: all are).

        Returns the tasks to publish, and how many were set aside. Tasks of sessions that have ended meanwhile are neither.
        """
        if placeable is None or placeable.issuperset({row["function"] for row in rows}):
            return rows, 0
        partition.functions.has_unplaced = True
        others = [row for row in rows if row["function"] not in placeable]
        others.sort(key=lambda row: row["id"])  # rows are locked in the order of ids, everywhere
        aside = await self._unplaced.set_aside([row["id"] for row in others], [row["attempt"] for row in others])
        return [row for row in rows if row["function"] in placeable], len(aside)

    async def place(self, partition: Partition) -> None:
        """Gives what was set aside its turn again, as far as there may be room; at most once every `functions.TICK` seconds."""
        if not partition.functions.check_due():
            return
        try:
            await self._place(partition)
        except Exception as error:  # nothing was chosen: the queue is as it was, and so it is tried again
            log.warning("placement.failed", partition=partition.name, error=repr(error))

    async def _place(self, partition: Partition) -> None:
        functions, beats = partition.functions, partition.beats
        waiting = await self._unplaced.waiting(partition.number, functions.offered or (), LARGEST + 1)
        closed = []
        for row in waiting:
            allowed = functions.allowance(row["function"], beats, partition.pace.window)
            if allowed:
                await self._unplaced.place(partition.number, row["function"], allowed)
            if row["tasks"] > allowed:
                closed.append(row["function"])
        functions.close(closed)
        functions.has_unplaced = bool(waiting)
