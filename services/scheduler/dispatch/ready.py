"""Ready tasks in the tables: those in lanes, and those in `ready`.

A lane is what waited for nothing when it was submitted: the tasks of one submission in one partition and priority. Its cursor says
how far they were chosen, so that choosing costs no write per task. All others that have become ready (released by a result, tried
again) have a row in `ready`.
"""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from services.scheduler.store import Q
from shared.db.sql import Db, Row


class ReadyTasks:
    """The statements of a round of dispatch. Tasks come with the columns that `queue` publishes."""

    def __init__(self, pool: Db) -> None:
        self._pool = pool

    async def lanes(self, partition: int, limit: int, functions: Collection[str] | None) -> list[Row]:
        """Lanes with tasks left, of `limit` priorities and sessions, the most urgent first; a few submissions of each.

        `functions`: those that can be placed (None: all); lanes of others are passed over.
        """
        names = None if functions is None else list(functions)
        rows: list[Any] = await self._pool.fetch(Q["waiting_lanes"], partition, limit, names)
        return rows

    async def released(self, partition: int, limit: int) -> list[Row]:
        """Priorities and sessions that have rows in `ready`, the most urgent first."""
        rows: list[Any] = await self._pool.fetch(Q["waiting_ready"], partition, limit)
        return rows

    async def take_lane(self, partition: int, lane: Row, count: int) -> list[Row]:
        """Moves the cursor of a lane, as `lanes` gave it, and returns the next `count` tasks. None if the cursor was moved since."""
        submission: UUID = lane["submission"]
        first, end = UUID(int=submission.int | lane["cursor"]), UUID(int=submission.int | lane["upto"])
        rows: list[Any] = await self._pool.fetch(
            Q["take_lane"], submission, partition, lane["priority"], first, end, count, lane["session"]
        )
        return rows

    async def take_released(self, partition: int, priority: int, session: UUID, count: int) -> list[Row]:
        """Takes the first `count` tasks of a session out of `ready`: they are SUBMITTED."""
        rows: list[Any] = await self._pool.fetch(Q["take_ready"], partition, priority, session, count)
        return rows


async def count_ahead(db: Db, partition: int, priority: int) -> Row:
    """`higher` and `same`: ready tasks of higher, and of the same priority, in sessions that run; up to 10,000 rows are counted."""
    row: Row = await db.fetchrow(Q["waiting_ahead"], partition, priority)
    return row
