"""Tasks that have failed are run again, in bulk: those that users name, or all of a session."""

from collections.abc import Collection, Sequence
from uuid import UUID

from services.scheduler.compute.completion.release import Release
from services.scheduler.compute.completion.store import AGAIN, Credits, of_kind
from services.scheduler.compute.sessions import store as sessions
from services.scheduler.compute.submissions import ending
from services.scheduler.compute.submissions import store as submissions
from services.scheduler.compute.task_events import emit_changes
from services.scheduler.compute.tasks.cancels import lock_all
from services.scheduler.machine import MACHINES, TASK
from services.scheduler.ports import Dispatch
from services.scheduler.spans import task_span
from shared.contracts import ids, subjects
from shared.contracts.compute import TaskChanges, TaskRerun, Unchanged
from shared.contracts.endpoints.compute import TASK_RERUN
from shared.contracts.errors import Invalid
from shared.contracts.events import SessionChanged
from shared.contracts.states import ResultStatus, SessionStatus, TaskStatus, name_of
from shared.db.sql import Db, Row, load
from shared.service.access import check_owner
from shared.service.context import Context
from shared.service.paging import parse_status
from shared.service.service import Service
from shared.service.unit import Unit

Q = load(__file__, "rerun.sql", MACHINES)
REASONS = 100
"""Tasks of which a reply says why they do not run again."""
SLICE = 5000
"""Failed tasks that are looked up at a time."""


class Reruns:
    """Answers `task.rerun`."""

    def __init__(self, dispatch: Dispatch, release: Release) -> None:
        self._dispatch, self._release = dispatch, release

    def register(self, service: Service) -> None:
        """Registers the handlers."""
        service.on(TASK_RERUN, self.rerun)

    async def rerun(self, unit: Unit, ctx: Context, request: TaskRerun) -> TaskChanges:
        """All of it in one transaction: what is to be run again, and what ended only because of that."""
        db, session = unit.connection, request.session
        statuses = _statuses(request.statuses)
        attempt = db.transaction()
        await attempt.start()
        reopened = await _hold_open(db, ctx, session)
        tasks = await _tasks_to_rerun(db, request, statuses)
        rows = await rerun(db, session, tasks, self._dispatch.credits())
        again = of_kind(rows, AGAIN)
        emit_changes(unit, "retried", again)
        await ending.unmark(db, {ids.submission_of(row["id"]) for row in again})
        self._release.follow(unit, rows)
        unit.after.append(self._dispatch.wake)
        named = request.tasks if request.tasks is not None else tasks
        left = sorted(set(named) - {row["id"] for row in again})
        found = await hindrances(db, left[:REASONS]) if left else []
        reasons = [Unchanged(row["id"], hindrance(row, statuses)) for row in found]
        if again:
            await attempt.commit()
            if reopened is not None:
                changed = SessionChanged(session, name_of(SessionStatus.RUNNING), reopened["version"])
                unit.emit(subjects.event("session", "reopened", session), changed)
        else:
            await attempt.rollback()  # nothing has changed, the session's state neither
        return TaskChanges(len(again), len(left), reasons)


async def _tasks_to_rerun(db: Db, request: TaskRerun, statuses: Collection[int]) -> list[UUID]:
    """The tasks to run again, after what they need is held."""
    if request.tasks is None:
        tasks = await _failed(db, request.session, statuses)
        await hold_needs(db, request.session, tasks)
        return tasks
    await hold_needs(db, request.session, request.tasks)
    rows = await lock_all(db, request.session, request.tasks)
    return [row["id"] for row in rows if row["status"] in statuses]


async def _hold_open(db: Db, ctx: Context, session: UUID) -> Row | None:
    """Holds a session: it cannot end before what waits anew is there, or nobody would cancel that. One that closed when it
    was done is opened again: its row then."""
    row = await sessions.get(db, session)
    check_owner(ctx, row, session)
    if row["closed_itself"]:
        await sessions.lock(db, session)
        reopened = await sessions.reopen(db, session)
        if reopened is not None:
            return reopened
    sessions.check_open(await sessions.hold(db, session), "its tasks cannot run again")
    return None


def hindrance(row: Row, statuses: Collection[int]) -> str:
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


async def _failed(db: Db, session: UUID, statuses: Collection[int]) -> list[UUID]:
    found: list[UUID] = []
    for submission in await submissions.visible_of_session(db, session):
        first, last = task_span(submission)
        after = UUID(int=first.int - 1)
        while tasks := await failed_tasks(db, after, last, statuses):
            found += tasks
            after = tasks[-1]
    return found


async def failed_tasks(db: Db, after: UUID, last: UUID, statuses: Collection[int]) -> list[UUID]:
    """The next tasks of a span that are in one of these states, at most `SLICE`, in the order of ids."""
    rows = await Q.failed_tasks.fetch(db, after=after, last=last, statuses=list(statuses), most=SLICE)
    return [row["id"] for row in rows]


async def hold_needs(db: Db, session: UUID, tasks: Sequence[UUID]) -> None:
    """Holds the results that these tasks need, and those that failed because of them."""
    await Q.hold_needs.execute(db, session=session, tasks=list(tasks))


async def rerun(db: Db, session: UUID, tasks: Sequence[UUID], credits: Credits) -> list[Row]:
    """Runs these again, and what failed because of them, as far as that can be. Rows: AGAIN, and those of `complete`."""
    return await Q.rerun.fetch(db, session=session, tasks=list(tasks), partitions=credits[0], credits=credits[1])


async def hindrances(db: Db, tasks: Sequence[UUID]) -> list[Row]:
    """Why these cannot run again: id and status of each, and the first result that cannot come (result, state, owner, makes)."""
    return await Q.hindrances.fetch(db, tasks=list(tasks))


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
