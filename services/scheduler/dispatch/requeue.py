"""What was chosen waits for its turn again: for a pause, and when a queue is rebuilt."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from services.scheduler import store
from services.scheduler.store import Q
from shared.db.sql import Db, Row


async def active_submissions(db: Db, session: UUID | None = None) -> list[Row]:
    """`id` and `session` of the visible submissions that have not ended, of one session or of all."""
    rows: list[Row] = await db.fetch(Q["active_submissions"], session)
    return rows


async def requeue_session(db: Db, session: UUID) -> dict[int, int]:
    """All chosen tasks of a session that have not begun wait again: how many, by partition.

    In the caller's transaction, after the session's queue was emptied. What workers hold without having begun waits again too:
    they have been told to drop it.
    """
    taken: Counter[int] = Counter()
    for submission in await active_submissions(db, session):
        low, high = store.span(submission["id"])
        rows = await db.fetch(Q["let_go"], low, high)
        rows += await db.fetch(Q["rewind_released"], low, high, None)
        rows += await db.fetch(Q["rewind_lanes"], low, high, None)
        for row in rows:
            taken[row["partition"]] += row["tasks"]
        await db.execute(Q["leave_to_lanes"], low, high, None, session)
    return dict(taken)


async def requeue_partition(db: Db, partition: int, held: Sequence[tuple[UUID, int, str]]) -> int:
    """All chosen tasks of a partition wait again, under a new epoch, except those that workers hold. Returns how many those are.

    `held`: task, attempt and worker, in the order of tasks; a worker may name tasks of other partitions too.

    Each statement is a transaction: others hold sessions, or tasks in the order of ids, when they ask for more of them. Whoever
    is killed in between leaves the rest to who is next; nothing may be dispatched before all of it is done.
    """
    await db.execute(Q["next_epoch"])
    if held:
        tasks, attempts, workers = (list(column) for column in zip(*held, strict=True))
        await db.execute(Q["hold_tasks"], tasks, attempts, workers, partition)
    for row in await active_submissions(db):
        low, high = store.span(row["id"])
        await db.execute(Q["rewind_released"], low, high, partition)
        await db.execute(Q["rewind_lanes"], low, high, partition)
        await db.execute(Q["leave_to_lanes"], low, high, partition, row["session"])
    return await count_held(db, partition)


async def count_held(db: Db, partition: int) -> int:
    """How many tasks of a partition workers are known to hold."""
    count: int = await db.fetchval(Q["outstanding"], partition)
    return count
