"""What was chosen waits for its turn again: for a pause, and when a queue is rebuilt."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from services.scheduler.machine import MACHINES
from services.scheduler.spans import task_span
from shared.db.sql import Db, Row, load

Q = load(__file__, "requeue.sql", MACHINES)


async def active_submissions(db: Db, session: UUID | None = None) -> list[Row]:
    """`id` and `session` of the visible submissions that have not ended, of one session or of all."""
    return await Q.active_submissions.fetch(db, session=session)


async def requeue_session(db: Db, session: UUID) -> dict[int, int]:
    """All chosen tasks of a session that have not begun wait again: how many, by partition.

    In the caller's transaction, after the session's queue was emptied. What workers hold without having begun waits again too:
    they have to drop it.
    """
    taken: Counter[int] = Counter()
    for submission in await active_submissions(db, session):
        first, last = task_span(submission["id"])
        rows = await Q.let_go.fetch(db, first=first, last=last)
        rows += await Q.rewind_released.fetch(db, first=first, last=last, partition=None)
        rows += await Q.rewind_lanes.fetch(db, first=first, last=last, partition=None)
        for row in rows:
            taken[row["partition"]] += row["tasks"]
        await Q.leave_to_lanes.execute(db, first=first, last=last, partition=None, session=session)
    return dict(taken)


async def requeue_partition(db: Db, partition: int, held: Sequence[tuple[UUID, int, str]]) -> int:
    """All chosen tasks of a partition wait again, under a new epoch, except those that workers hold. Returns how many those are.

    `held`: task, attempt and worker, in the order of tasks; a worker may name tasks of other partitions too.

    Each statement is a transaction: others hold sessions, or tasks in the order of ids, when they ask for more of them. Whoever
    is killed in between leaves the rest to who is next; nothing may be dispatched before all of it is done.
    """
    await Q.next_epoch.execute(db)
    if held:
        tasks, attempts, workers = (list(column) for column in zip(*held, strict=True))
        await Q.hold_tasks.execute(db, tasks=tasks, attempts=attempts, workers=workers, partition=partition)
    for row in await active_submissions(db):
        first, last = task_span(row["id"])
        await Q.rewind_released.execute(db, first=first, last=last, partition=partition)
        await Q.rewind_lanes.execute(db, first=first, last=last, partition=partition)
        await Q.leave_to_lanes.execute(db, first=first, last=last, partition=partition, session=row["session"])
    return await count_held(db, partition)


async def count_held(db: Db, partition: int) -> int:
    """How many tasks of a partition workers are known to hold."""
    count: int = await Q.count_held.fetchval(db, partition=partition)
    return count
