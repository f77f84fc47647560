"""Tasks: seen by users, asked about by workers."""

from services.scheduler.compute.sessions import store as sessions
from services.scheduler.compute.tasks import store
from services.scheduler.compute.tasks.explain import explain
from services.scheduler.compute.tasks.status import task_of
from services.scheduler.ports import Waiting
from shared.contracts.compute import Explanation, Task, TaskRef
from shared.contracts.endpoints.compute import TASK_EXPLAIN, TASK_GET
from shared.contracts.endpoints.work import TASK_CONFIRM, TASK_INPUTS
from shared.contracts.states import SessionStatus
from shared.contracts.work import Confirm, Confirmed, Inputs, InputsOf
from shared.db.sql import Db, Row
from shared.service.access import check_owner
from shared.service.context import Context
from shared.service.service import Service


class Tasks:
    """Answers what is asked about one task."""

    def __init__(self, db: Db, waiting: Waiting) -> None:
        self._db, self._waiting = db, waiting

    def register(self, service: Service) -> None:
        """Registers the handlers."""
        service.on(TASK_GET, self.get)
        service.on(TASK_EXPLAIN, self.explain)
        service.on(TASK_CONFIRM, self.confirm)
        service.on(TASK_INPUTS, self.inputs)

    async def get(self, ctx: Context, request: TaskRef) -> Task:
        """A task as its row is now."""
        row, session = await self._seen(ctx, request)
        return task_of(row, await store.status(self._db, row, session))

    async def explain(self, ctx: Context, request: TaskRef) -> Explanation:
        """Why a task is where it is."""
        row, session = await self._seen(ctx, request)
        return await explain(self._db, self._waiting, row, session)

    async def confirm(self, ctx: Context, request: Confirm) -> Confirmed:
        """A copy may run if its attempt is the current one and no other live worker is known to hold it."""
        asked = dict(request.tasks)
        rows = await store.confirmable(self._db, asked, ctx.site)
        return Confirmed(
            [
                row["id"]
                for row in rows
                if row["attempt"] == asked[row["id"]] and row["worker"] in (None, request.worker)
            ]
        )

    async def inputs(self, ctx: Context, request: InputsOf) -> Inputs:
        """A page of the values of a task's inputs, for its worker."""
        values, more = await store.inputs(self._db, request.task, request.start, ctx.site)
        return Inputs(values, request.start + len(values) if more else None)

    async def _seen(self, ctx: Context, request: TaskRef) -> tuple[Row, SessionStatus]:
        """The task's row and its session's status."""
        row = await store.get(self._db, request.task)
        session = await sessions.get(self._db, row["session"])
        check_owner(ctx, session, request.task, "task")
        return row, SessionStatus(session["status"])
