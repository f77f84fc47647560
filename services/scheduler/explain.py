"""Why is my task where it is? One summary, then reasons from the most to the least decisive."""

from services.scheduler import store
from services.scheduler.turns import Turns
from shared.contracts.compute import Explanation
from shared.contracts.states import ResultStatus, SessionStatus, SubmissionStatus, TaskStatus

Q = store.Q


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
    reasons += _workers(turns, row)
    if status is TaskStatus.PAUSED:
        return Explanation(task, "it is ready and waits until its session is resumed", reasons)
    if status is TaskStatus.PENDING:
        return Explanation(task, "it is ready and waits for its turn", reasons)
    if status is TaskStatus.SUBMITTED:
        return Explanation(task, "it is in the queue: the next free worker takes it", reasons)
    return Explanation(
        task, f"worker {task.worker or '?'} has it", [f"since {task.started_at}"] if task.started_at else []
    )


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


def _workers(turns: Turns, row: store.Row) -> list[str]:
    name, workers, slots, outstanding = next(seen for seen in turns.seen() if seen[0] == row["partition_name"])
    if not workers:
        return [f"partition {name!r} has no live worker"]
    if not turns.offers(name, row["function"]):
        return [f"no live worker of partition {name!r} has the function {row['function']!r}"]
    return [f"partition {name!r}: {outstanding} tasks are with {workers} worker(s) of {slots} slot(s)"]
