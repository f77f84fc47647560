"""Changes of tasks that users ask for: cancelled one by one, or run again in bulk."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from services.scheduler import store
from services.scheduler.compute.completion.release import ABORTED, AGAIN, FAILED, STOPPING, Release, by_partition, tell
from services.scheduler.machine import TASK
from services.scheduler.ports import Dispatch, Workers
from shared.contracts import ids, subjects
from shared.contracts.compute import TaskCancel, TaskChanges, TaskRerun, Unchanged
from shared.contracts.endpoints.compute import TASK_CANCEL, TASK_RERUN
from shared.contracts.errors import Conflict, Invalid, NotFound
from shared.contracts.events import SessionChanged
from shared.contracts.states import ResultStatus, SessionStatus, TaskStatus, name_of
from shared.contracts.work import Control
from shared.service.access import check
from shared.service.context import Context
from shared.service.paging import parse_status
from shared.service.service import Service
from shared.service.unit import Unit

Q = store.Q
WHY = "it was cancelled"
REASONS = 100
"""Tasks of which a reply says why they do not run again."""
SLICE = 5000
"""Failed tasks that are looked up at a time."""


class Changes:
    def __init__(self, dispatch: Dispatch, workers: Workers, release: Release) -> None:
        self._dispatch, self._workers, self._release = dispatch, workers, release

    def register(self, service: Service) -> None:
        service.on(TASK_CANCEL, self.cancel)
        service.on(TASK_RERUN, self.rerun)

    async def cancel(self, unit: Unit, ctx: Context, request: TaskCancel) -> TaskChanges:
        """Those that a worker is known to hold are CANCELLING until it has stopped them."""
        db = unit.connection
        session = await store.session(db, request.session)
        check(ctx, session)
        rows = await _named(db, request.session, request.tasks)
        cursors = await store.cursors(db, rows)
        status = SessionStatus(session["status"])
        chosen = [row for row in rows if store.status_of(row, cursors, status) is TaskStatus.SUBMITTED]
        open_ = [row["id"] for row in rows if row["status"] in TASK.sources("cancel") + TASK.sources("stop")]
        n = len(open_)
        ended = await db.fetch(Q["fail"], open_, [None] * n, [int(TaskStatus.CANCELLED)] * n, [WHY] * n)
        named = set(open_)
        cancelled = [row for row in ended if row["kind"] == FAILED and row["id"] in named]
        stopping = [row for row in ended if row["kind"] == STOPPING]
        tell(unit, "cancelled", cancelled)
        tell(unit, "cancelling", stopping)
        tell(unit, "failed", [row for row in ended if row["kind"] == FAILED and row["id"] not in named])
        tell(unit, "aborted", [row for row in ended if row["kind"] == ABORTED])
        if open_:
            attempts = {row["id"]: row["attempt"] for row in rows}
            control = Control("cancelled", [(task, attempts[task]) for task in open_])
            unit.after.append(lambda: self._workers.control(request.session, control))
            unit.after.append(lambda: self._dispatch.ended(by_partition(chosen)))
        return TaskChanges(n, len(rows) - n)

    async def rerun(self, unit: Unit, ctx: Context, request: TaskRerun) -> TaskChanges:
        """All of it in one transaction: what is to be run again, and what ended only because of that."""
        db = unit.connection
        statuses = _statuses(request.statuses)
        attempt = db.transaction()
        await attempt.start()
        reopened = await self._hold_open(db, ctx, request.session)
        if request.tasks is None:
            wanted = await _failed(db, request.session, statuses)
            await db.execute(Q["hold_needs"], request.session, wanted)
        else:
            await db.execute(Q["hold_needs"], request.session, request.tasks)
            rows = await _named(db, request.session, request.tasks)
            wanted = [row["id"] for row in rows if row["status"] in statuses]
        rows = await db.fetch(Q["rerun"], request.session, wanted, *self._dispatch.credits())
        again = [row for row in rows if row["kind"] == AGAIN]
        tell(unit, "retried", again)
        await db.execute(Q["unsettle"], list({ids.submission_of(row["id"]) for row in again}))
        self._release.follow(unit, rows)
        unit.after.append(self._dispatch.wake)
        named = request.tasks if request.tasks is not None else wanted
        left = sorted(set(named) - {row["id"] for row in again})
        found = await db.fetch(Q["hindrances"], left[:REASONS]) if left else []
        reasons = [Unchanged(row["id"], hindrance(row, statuses)) for row in found]
        if again:
            await attempt.commit()
            if reopened is not None:
                told = SessionChanged(request.session, name_of(SessionStatus.RUNNING), reopened["version"])
                unit.emit(subjects.event("session", "reopened", request.session), told)
        else:
            await attempt.rollback()  # nothing has changed, the session's state neither
        return TaskChanges(len(again), len(left), reasons)

    async def _hold_open(self, db: store.Db, ctx: Context, name: UUID) -> store.Row | None:
        """Holds a session: it cannot end before what waits anew is there, or nobody would cancel that. One that closed when it
        was done is opened again: its row then."""
        session = await store.session(db, name)
        check(ctx, session)
        if session["closed_itself"]:
            await store.session(db, name, "lock_session")
            row: store.Row | None = await db.fetchrow(Q["reopen"], name)
            if row is not None:
                return row
        session = await store.session(db, name, "hold_session")
        state = SessionStatus(session["status"])
        if state not in (SessionStatus.RUNNING, SessionStatus.PAUSED):
            raise Conflict(f"session {name} is {state.name}: its tasks cannot run again")
        return None


def hindrance(row: Mapping[str, Any], statuses: Collection[int]) -> str:
    """Why a task does not run again. `row`: as `hindrances` has it; `statuses`: of those that were to."""
    status, result = TaskStatus(row["status"]), row["result"]
    if status not in statuses:
        return f"it is {status.name}"
    if result is None:
        return "it has changed meanwhile"
    if row["makes"]:
        return f"result {result}, which it produces, was deleted"
    if row["state"] == ResultStatus.DELETED:
        return f"result {result}, which it needs, was deleted"
    if row["owner"] is None:
        return f"result {result}, which it needs, was aborted: nobody can give it a value any more"
    return f"result {result}, which it needs, was aborted: task {row['owner']}, which produces it, does not run again"


async def _named(db: store.Db, session: UUID, tasks: Sequence[UUID]) -> list[Any]:
    """These tasks, locked; NotFound names the first that the session does not have."""
    twice = [task for task, times in Counter(tasks).items() if times > 1]
    if twice:
        raise Invalid(f"task {twice[0]} is named twice", field="tasks")
    rows: list[Any] = await db.fetch(Q["lock_tasks"], list(tasks), session)
    known = {row["id"] for row in rows}
    for place, task in enumerate(tasks):
        if task not in known:
            raise NotFound(f"session {session} has no task {task}", field=f"tasks[{place}]")
    return rows


async def _failed(db: store.Db, session: UUID, statuses: list[int]) -> list[UUID]:
    found: list[UUID] = []
    for submission in await store.visible_of(db, session):
        low, high = store.span(submission)
        low = UUID(int=low.int - 1)
        while rows := await db.fetch(Q["failed_of"], low, high, statuses, SLICE):
            found += [row["id"] for row in rows]
            low = rows[-1]["id"]
    return found


def _statuses(names: Sequence[str]) -> list[int]:
    allowed = TASK.sources("rerun")
    found = []
    for place, name in enumerate(names):
        status = parse_status(TaskStatus, name)
        if status not in allowed:
            known = ", ".join(TaskStatus(one).name.lower() for one in allowed)
            raise Invalid(f"{name!r} tasks cannot be run again; these can: {known}", field=f"statuses[{place}]")
        found.append(int(status))
    return found
