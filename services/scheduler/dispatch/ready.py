"""Ready tasks in the tables: those in lanes, and those in `ready`.

A lane is what waited for nothing when it was submitted: the tasks of one submission in one partition and priority. Its cursor says
how far they were chosen, so that choosing costs no write per task. All others that have become ready (released by a result, tried
again) have a row in `ready`.
"""

from collections.abc import Collection
from uuid import UUID

from services.scheduler.machine import MACHINES
from shared.db.sql import Db, Row, load

Q = load(__file__, "ready.sql", MACHINES)


class ReadyTasks:
    """The statements of a round of dispatch. Tasks come with the columns that `queue` publishes."""

    def __init__(self, pool: Db) -> None:
        self._pool = pool

    async def lanes(self, partition: int, limit: int, functions: Collection[str] | None) -> list[Row]:
        """Lanes with tasks left, of `limit` priorities and sessions, the most urgent first; a few submissions of each.

        `functions`: those that can be placed (None: all); lanes of others are passed over.
        """
        names = None if functions is None else list(functions)
        return await Q.lanes.fetch(self._pool, partition=partition, limit=limit, functions=names)

    async def released(self, partition: int, limit: int) -> list[Row]:
        """Priorities and sessions that have rows in `ready`, the most urgent first."""
        return await Q.released.fetch(self._pool, partition=partition, limit=limit)

    async def take_lane(self, partition: int, lane: Row, count: int) -> list[Row]:
        """Moves the cursor of a lane, as `lanes` gave it, and returns the next `count` tasks. None if the cursor was moved since."""
        submission: UUID = lane["submission"]
        return await Q.take_lane.fetch(
            self._pool,
            session=lane["session"],
            submission=submission,
            partition=partition,
            priority=lane["priority"],
            first=UUID(int=submission.int | lane["cursor"]),
            end=UUID(int=submission.int | lane["upto"]),
            count=count,
        )

    async def take_released(self, partition: int, priority: int, session: UUID, count: int) -> list[Row]:
        """Takes the first `count` tasks of a session out of `ready`: they are SUBMITTED."""
        return await Q.take_released.fetch(
            self._pool, partition=partition, priority=priority, session=session, count=count
        )


async def count_ahead(db: Db, partition: int, priority: int) -> Row:
    """`higher` and `same`: ready tasks of higher, and of the same priority, in sessions that run; up to 10,000 rows are counted."""
    row: Row = await Q.count_ahead.fetchrow(db, partition=partition, priority=priority)
    return row
