"""Why is my task where it is? One summary, then reasons from the most to the least decisive."""

from services.scheduler import store
from services.scheduler.dispatch.partition import Partition
from services.scheduler.dispatch.turns import Turns
from shared.contracts.compute import Explanation
from shared.contracts.states import ResultStatus, SessionStatus, SubmissionStatus, TaskStatus
from shared.runtime.clock import rfc3339

Q = store.Q
SHOWN = 5
"""Workers that one reason names."""


async def explain(db: store.Db, turns: Turns, row: store.Row, session: SessionStatus) -> Explanation:
    """Reads; changes nothing. `session`: how the task's session stands."""
    status = store.status_of(row, await store.cursors(db, [row]), session)
    task = store.task_of(row, status)
    if status in (TaskStatus.COMPLETED, TaskStatus.ERROR, TaskStatus.TIMEOUT, TaskStatus.CANCELLED):
        return Explanation(task, f"it has ended: {status.name}", [task.error] if task.error else [])
    submission = await db.fetchrow(Q["submission"], task.submission)
    if status is TaskStatus.CREATING or submission["status"] == SubmissionStatus.OPEN:
        return Explanation(
            task, "its submission is not complete", ["the last chunk has not arrived; nothing runs before"]
        )
    reasons = []
    if session is not SessionStatus.RUNNING:
        reasons.append(f"its session is {session.name}")
    if row["remaining"]:
        reasons += await _unmet(db, row, session)
        return Explanation(task, f"it waits for {row['remaining']} result(s)", reasons)
    if turns.named(row["partition_name"]) is None:
        await turns.refresh()  # another scheduler has just made it
    partition = turns.named(row["partition_name"])
    assert partition is not None  # it is not deleted before its tasks have ended
    if status in (TaskStatus.DISPATCHED, TaskStatus.PROCESSING, TaskStatus.CANCELLING):
        reasons += [f"since {task.started_at}"] if task.started_at else []
        return Explanation(task, f"worker {task.worker or '?'} has it", reasons)
    reasons += _workers(turns, partition, row["function"])
    if status is TaskStatus.PENDING:
        reasons += _limits(partition) + await _ahead(db, row)
    reasons += _others(turns, partition) + _load(partition)
    began = await db.fetchval(Q["ready_since"], row["id"], task.submission)
    since = None if began is None else rfc3339(began)
    summaries = {
        TaskStatus.PAUSED: "it is ready and waits until its session is resumed",
        TaskStatus.SUBMITTED: "it is in the queue: the next free worker takes it",
    }
    return Explanation(task, summaries.get(status, "it is ready and waits for its turn"), reasons, since)


async def _unmet(db: store.Db, row: store.Row, session: SessionStatus) -> list[str]:
    reasons = []
    for unmet in await db.fetch(Q["unmet"], row["id"]):
        state = ResultStatus(unmet["status"]).name
        if unmet["owner"] is None:
            reasons.append(f"result {unmet['id']} is {state}: no task produces it, somebody has to upload it")
            continue
        owner = await store.task(db, unmet["owner"])
        its = store.status_of(owner, await store.cursors(db, [owner]), session).name
        reasons.append(f"result {unmet['id']} is {state}: task {unmet['owner']} produces it and is {its}")
    return reasons


def _workers(turns: Turns, partition: Partition, function: str) -> list[str]:
    """What its partition's workers cannot do for it."""
    if not partition.workers:
        return [f"partition {partition.name!r} has no live worker"]
    beats = [beat for beat, _ in partition.workers.values()]
    unwell = [f"worker {beat.worker} is unwell: {beat.unwell}" for beat in beats if beat.unwell][:SHOWN]
    having = sum(function in beat.functions for beat in beats)
    if having == 0:
        return [_nowhere(turns, partition, function), *unwell]
    if having < len(beats):
        unwell.insert(
            0, f"{having} of {len(beats)} live workers of partition {partition.name!r} have function {function!r}"
        )
    return unwell


def _nowhere(turns: Turns, partition: Partition, function: str) -> str:
    """That nobody has its function there; and who has."""
    others = sorted(
        f"{beat.worker} (partition {other.name!r})"
        for other in turns.partitions()
        if other is not partition
        for beat, _ in other.workers.values()
        if function in beat.functions
    )
    these = f"these do: {', '.join(others[:SHOWN])}" if others else "none of another partition has it either"
    return f"no live worker of partition {partition.name!r} has function {function!r}; {these}"


def _limits(partition: Partition) -> list[str]:
    """Which limit keeps it out of the queue."""
    if partition.most == 0:
        return [f"the max of partition {partition.name!r} is 0: nothing new begins"]
    if partition.most is not None and partition.counted >= partition.most:
        return [f"partition {partition.name!r} has reached its max: {partition.counted} of {partition.most} tasks"]
    if partition.counted >= partition.window:
        return [f"the window of partition {partition.name!r} is full: {partition.counted} of {partition.window} tasks"]
    return []


async def _ahead(db: store.Db, row: store.Row) -> list[str]:
    """Who waits in the same partition. Lanes say an upper bound, and so does this."""
    found = await db.fetchrow(Q["waiting_ahead"], row["partition"], row["priority"])
    reasons = []
    if found["higher"]:
        reasons.append(f"it is behind up to {found['higher']} tasks of higher priority than its {row['priority']}")
    if found["same"] > 1:
        reasons.append(f"up to {found['same']} tasks of its priority wait; their sessions take turns")
    return reasons


def _others(turns: Turns, partition: Partition) -> list[str]:
    """Partitions that come first on the workers that they share."""
    reasons = []
    for other in sorted(turns.partitions(), key=lambda p: (not p.entitled, -p.priority, p.name)):
        if other is partition or not other.workers.keys() & partition.workers.keys():
            continue
        if other.entitled:
            shown = f"it runs {other.heard[1]} tasks and has reserved {other.reserve} slots"
        elif other.priority > partition.priority and other.counted:
            shown = f"its priority is {other.priority}, this one's {partition.priority}"
        else:
            continue
        reasons.append(f"its workers serve partition {other.name!r} first: {shown}")
    return reasons


def _load(partition: Partition) -> list[str]:
    if not partition.workers:
        return []
    workers, slots = len(partition.workers), partition.slots
    return [
        f"partition {partition.name!r}: {partition.counted} tasks are with {workers} worker(s) of {slots} slot(s), "
        f"or queued for them"
    ]
