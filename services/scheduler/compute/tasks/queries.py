"""Questions about many tasks: which, how many, with which outputs, after which attempts."""

from services.scheduler.compute.lists import lists
from services.scheduler.compute.sessions import store as sessions
from services.scheduler.compute.tasks import store
from services.scheduler.compute.tasks.status import attempt_of
from services.scheduler.heavy_reads import AT_ONCE, HeavyReads
from shared.contracts.compute import (
    AttemptPage,
    AttemptQuery,
    OutputsOf,
    OutputsPage,
    TaskCount,
    TaskCounts,
    TaskOutputs,
    TaskPage,
    TaskQuery,
)
from shared.contracts.endpoints.compute import TASK_ATTEMPTS, TASK_COUNT, TASK_LIST, TASK_OUTPUTS
from shared.contracts.errors import NotFound
from shared.contracts.states import SessionStatus
from shared.contracts.work import AttemptNumber
from shared.db.sql import Db
from shared.service.access import check_owner
from shared.service.context import Context
from shared.service.paging import fitting, place_of, token_of
from shared.service.service import Service


class Queries:
    """Answers what is asked about many tasks, or many attempts."""

    def __init__(self, db: Db, heavy: HeavyReads) -> None:
        self._db, self._heavy = db, heavy

    def register(self, service: Service) -> None:
        """Registers the handlers."""
        service.on(TASK_LIST, self.list, at_once=AT_ONCE)
        service.on(TASK_COUNT, self.count, at_once=AT_ONCE)
        service.on(TASK_OUTPUTS, self.outputs)
        service.on(TASK_ATTEMPTS, self.attempts)

    async def list(self, ctx: Context, request: TaskQuery) -> TaskPage:
        """A page of a session's tasks, filtered and sorted."""
        session = await sessions.get(self._db, request.session)
        check_owner(ctx, session, request.session)
        async with self._heavy.place(ctx) as db:
            return await lists.tasks(db, session, request)

    async def count(self, ctx: Context, request: TaskCount) -> TaskCounts:
        """How many tasks of a session are in each state."""
        session = await sessions.get(self._db, request.session)
        check_owner(ctx, session, request.session)
        async with self._heavy.place(ctx) as db:
            return await lists.count(db, session, request)

    async def outputs(self, ctx: Context, request: TaskOutputs) -> OutputsPage:
        """The outputs of tasks, of any sessions that the caller may see; NotFound names the place of one that is not there."""
        rows = await store.outputs(self._db, request.tasks)
        for place, task in enumerate(request.tasks):
            if task not in rows or not (ctx.is_admin or rows[task]["owner"] == ctx.user):
                raise NotFound(f"there is no task {task}", field=f"tasks[{place}]")
        found = [OutputsOf(task, rows[task]["outputs"]) for task in request.tasks]
        items, _ = fitting(found, len(found))
        return OutputsPage(items, len(found) - len(items))

    async def attempts(self, ctx: Context, request: AttemptQuery) -> AttemptPage:
        """A page of a task's attempts, the current one last."""
        row = await store.get(self._db, request.task)
        session = await sessions.get(self._db, row["session"])
        check_owner(ctx, session, request.task, "task")
        place = place_of(request, AttemptNumber)
        after = -1 if place is None else place
        rows = await store.attempts(self._db, request.task, after, row["attempt"], request.size + 1)
        found = [attempt_of(row["id"], old) for old in rows]
        if len(rows) <= request.size and row["attempt"] > after:
            status = await store.status(self._db, row, SessionStatus(session["status"]))
            found.append(attempt_of(row["id"], {**row, "status": status}))
        items, more = fitting(found, request.size)
        return AttemptPage(items, token_of(request, items[-1].attempt) if more else "")
