"""Tasks that are set aside: ready, but chosen when no worker with their function had room (docs/adr/0023-function-placement.md)."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from uuid import UUID

from services.scheduler.dispatch.partition import Partition
from services.scheduler.machine import MACHINES
from shared.db.sql import Db, Row, load

Q = load(__file__, "unplaced.sql", MACHINES)

SHOWN = 20
"""Functions that nobody has, named with how many tasks wait for them."""


async def set_aside(
    db: Db, tasks: Sequence[UUID], attempts: Sequence[int], workers: Sequence[str], reasons: Sequence[str]
) -> list[Row]:
    """Sets attempts aside, as new ones that use up no retry. The four columns name an attempt each, in the order of task ids.

    `workers`, `reasons`: who gave it back, and why; both empty for what could not be placed. Returns id, session, partition
    and worker of those that wait now: not of what has ended, or belongs to a session that runs nothing any more.
    """
    return await Q.set_aside.fetch(
        db, tasks=list(tasks), attempts=list(attempts), workers=list(workers), reasons=list(reasons)
    )


class UnplacedTasks:
    """The statements that place what was set aside."""

    def __init__(self, pool: Db) -> None:
        self._pool = pool

    async def set_aside(self, tasks: Sequence[UUID], attempts: Sequence[int]) -> list[Row]:
        """Sets aside what was chosen and cannot be placed: see the function of this name."""
        blank = [""] * len(tasks)
        return await set_aside(self._pool, tasks, attempts, blank, blank)

    async def waiting(self, partition: int, functions: Collection[str], limit: int) -> list[Row]:
        """`function` and `tasks`: how many are set aside of each of these functions, as far as any are; `limit` are counted."""
        return await Q.waiting.fetch(self._pool, partition=partition, functions=list(functions), limit=limit)

    async def place(self, partition: int, function: str, count: int) -> int:
        """The first `count` tasks of a function have their turn again: they are in `ready`. Returns how many are not set aside now."""
        placed: int = await Q.place.fetchval(self._pool, partition=partition, function=function, count=count)
        return placed


async def count_waiting(db: Db, partitions: Sequence[int]) -> list[Row]:
    """`partition`, `function`, `tasks`: ready tasks by function, as far as that is known without reading them. Lanes give an
    upper bound."""
    return await Q.count_waiting.fetch(db, partitions=list(partitions))


async def count_waiting_in_session(db: Db, session: UUID) -> list[Row]:
    """As `count_waiting`, of one session."""
    return await Q.count_waiting_in_session.fetch(db, session=session)


def without_worker(rows: Iterable[Row], partitions: Mapping[int, Partition]) -> dict[int, dict[str, int]]:
    """Counts, by partition and function, the waiting tasks whose function no live worker of the partition has (rows of `count_waiting`).

    At most `SHOWN` functions of a partition, those with the most tasks first.
    """
    counts: dict[int, dict[str, int]] = {}
    for row in sorted(rows, key=lambda row: -row["tasks"]):
        partition = partitions.get(row["partition"])
        offered = None if partition is None else partition.functions.offered
        own = counts.setdefault(row["partition"], {})
        if row["function"] not in (offered or ()) and len(own) < SHOWN:
            own[row["function"]] = row["tasks"]
    return counts
