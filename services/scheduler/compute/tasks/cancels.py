"""Tasks that users cancel, one by one."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from services.scheduler.compute.completion import store as completion
from services.scheduler.compute.completion.store import ABORTED, FAILED, STOPPING, of_kind
from services.scheduler.compute.sessions import store as sessions
from services.scheduler.compute.task_events import by_partition, emit_changes
from services.scheduler.compute.tasks import store
from services.scheduler.compute.tasks.status import status_of
from services.scheduler.machine import TASK
from services.scheduler.ports import Dispatch, Workers
from shared.contracts.compute import TaskCancel, TaskChanges
from shared.contracts.endpoints.compute import TASK_CANCEL
from shared.contracts.errors import Invalid, NotFound
from shared.contracts.states import SessionStatus, TaskStatus
from shared.contracts.work import Control
from shared.db.sql import Db, Row
from shared.service.access import check_owner
from shared.service.context import Context
from shared.service.service import Service
from shared.service.unit import Unit

WHY = "it was cancelled"


class Cancels:
    """Answers `task.cancel`."""

    def __init__(self, dispatch: Dispatch, workers: Workers) -> None:
        self._dispatch, self._workers = dispatch, workers

    def register(self, service: Service) -> None:
        """Registers the handlers."""
        service.on(TASK_CANCEL, self.cancel)

    async def cancel(self, unit: Unit, ctx: Context, request: TaskCancel) -> TaskChanges:
        """Those that a worker is known to hold are CANCELLING until it has stopped them."""
        db = unit.connection
        session = await sessions.get(db, request.session)
        check_owner(ctx, session, request.session)
        rows = await lock_all(db, request.session, request.tasks)
        cursors, state = await store.cursors(db, rows), SessionStatus(session["status"])
        chosen = [row for row in rows if status_of(row, cursors, state) is TaskStatus.SUBMITTED]
        open_ = [row["id"] for row in rows if row["status"] in TASK.sources("cancel") + TASK.sources("stop")]
        await _end(unit, open_)
        if open_:
            attempts = {row["id"]: row["attempt"] for row in rows}
            control = Control("cancelled", [(task, attempts[task]) for task in open_])
            unit.after.append(lambda: self._workers.control(request.session, control))
            unit.after.append(lambda: self._dispatch.count_ended(by_partition(chosen)))
        return TaskChanges(len(open_), len(rows) - len(open_))


async def _end(unit: Unit, tasks: Sequence[UUID]) -> None:
    """Ends these, and what needs their results."""
    n, named = len(tasks), set(tasks)
    rows = await completion.end_tasks(unit.connection, tasks, [None] * n, [int(TaskStatus.CANCELLED)] * n, [WHY] * n)
    ended = of_kind(rows, FAILED)
    emit_changes(unit, "cancelled", [row for row in ended if row["id"] in named])
    emit_changes(unit, "cancelling", of_kind(rows, STOPPING))
    emit_changes(unit, "failed", [row for row in ended if row["id"] not in named])
    emit_changes(unit, "aborted", of_kind(rows, ABORTED))


async def lock_all(db: Db, session: UUID, tasks: Sequence[UUID]) -> list[Row]:
    """These tasks, locked, in the order of ids; NotFound names the first that the session does not have, Invalid one named twice."""
    twice = [task for task, times in Counter(tasks).items() if times > 1]
    if twice:
        raise Invalid(f"task {twice[0]} is named twice", field="tasks")
    rows = await store.lock(db, session, tasks)
    known = {row["id"] for row in rows}
    for place, task in enumerate(tasks):
        if task not in known:
            raise NotFound(f"session {session} has no task {task}", field=f"tasks[{place}]")
    return rows
