"""Why is my task where it is? One summary, then reasons from the most to the least decisive."""

from services.scheduler.compute.submissions import store as submissions
from services.scheduler.compute.tasks import store
from services.scheduler.compute.tasks.status import task_of
from services.scheduler.ports import Waiting
from shared.contracts.compute import Explanation
from shared.contracts.states import ResultStatus, SessionStatus, SubmissionStatus, TaskStatus
from shared.db.sql import Db, Row
from shared.runtime.clock import rfc3339


async def explain(db: Db, waiting: Waiting, row: Row, session: SessionStatus) -> Explanation:
    """Reads; changes nothing. `session`: how the task's session stands."""
    status = await store.status(db, row, session)
    task = task_of(row, status)
    if status in (TaskStatus.COMPLETED, TaskStatus.ERROR, TaskStatus.TIMEOUT, TaskStatus.CANCELLED):
        return Explanation(task, f"it has ended: {status.name}", [task.error] if task.error else [])
    submission = await submissions.find(db, task.submission)
    if status is TaskStatus.CREATING or submission is None or submission["status"] == SubmissionStatus.OPEN:
        return Explanation(
            task, "its submission is not complete", ["the last chunk has not arrived; nothing runs before"]
        )
    reasons = []
    if session is not SessionStatus.RUNNING:
        reasons.append(f"its session is {session.name}")
    if row["remaining"]:
        reasons += await _unmet(db, row, session)
        return Explanation(task, f"it waits for {row['remaining']} result(s)", reasons)
    if status in (TaskStatus.DISPATCHED, TaskStatus.PROCESSING, TaskStatus.CANCELLING):
        reasons += [f"since {task.started_at}"] if task.started_at else []
        return Explanation(task, f"worker {task.worker or '?'} has it", reasons)
    reasons += await waiting.reasons(row, queued=status is not TaskStatus.PENDING)
    began = await store.ready_since(db, row["id"], task.submission)
    since = None if began is None else rfc3339(began)
    summaries = {
        TaskStatus.PAUSED: "it is ready and waits until its session is resumed",
        TaskStatus.SUBMITTED: "it is in the queue: the next free worker takes it",
    }
    return Explanation(task, summaries.get(status, "it is ready and waits for its turn"), reasons, since)


async def _unmet(db: Db, row: Row, session: SessionStatus) -> list[str]:
    reasons = []
    for unmet in await store.unmet(db, row["id"]):
        state = ResultStatus(unmet["status"]).name
        if unmet["owner"] is None:
            reasons.append(f"result {unmet['id']} is {state}: no task produces it, somebody has to upload it")
            continue
        owner = await store.get(db, unmet["owner"])
        its = (await store.status(db, owner, session)).name
        reasons.append(f"result {unmet['id']} is {state}: task {unmet['owner']} produces it and is {its}")
    return reasons
