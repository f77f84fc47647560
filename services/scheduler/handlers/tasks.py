"""Tasks: seen by users, asked about by workers."""

from uuid import UUID

from services.scheduler import explain, store
from services.scheduler.turns import Turns
from shared.bus.access import check
from shared.bus.context import Context
from shared.bus.paging import fitting, parse_status, parse_token
from shared.bus.service import Service
from shared.contracts import ids
from shared.contracts.compute import Explanation, Task, TaskPage, TaskQuery, TaskRef, Value
from shared.contracts.errors import NotFound
from shared.contracts.states import SessionStatus, TaskStatus
from shared.contracts.topology import MESSAGE_LIMIT
from shared.contracts.work import Confirm, Confirmed, Inputs, InputsOf

Q = store.Q

_STORED = {
    TaskStatus.SUBMITTED: [int(TaskStatus.SUBMITTED), int(TaskStatus.PENDING)],
    TaskStatus.PAUSED: [int(TaskStatus.PAUSED), int(TaskStatus.PENDING)],
}
"""What the row of a task may say that users see as the key."""


class Tasks:
    def __init__(self, db: store.Db, turns: Turns) -> None:
        self._db, self._turns = db, turns

    def register(self, service: Service) -> None:
        service.reads("task", "get", TaskRef, self.get)
        service.reads("task", "list", TaskQuery, self.list)
        service.reads("task", "explain", TaskRef, self.explain)
        service.reads("task", "confirm", Confirm, self.confirm)
        service.reads("task", "inputs", InputsOf, self.inputs)

    async def get(self, ctx: Context, request: TaskRef) -> Task:
        row, session = await self._seen(ctx, request)
        return store.task_of(row, store.status_of(row, await store.cursors(self._db, [row]), session))

    async def explain(self, ctx: Context, request: TaskRef) -> Explanation:
        row, session = await self._seen(ctx, request)
        return await explain.explain(self._db, self._turns, row, session)

    async def list(self, ctx: Context, request: TaskQuery) -> TaskPage:
        owned = await store.session(self._db, request.session)
        check(ctx, owned)
        session = SessionStatus(owned["status"])
        wanted = parse_status(TaskStatus, request.status)
        stored = None if wanted is None else _STORED.get(TaskStatus(wanted), [wanted])
        after = parse_token(request.token)
        items: list[Task] = []
        start = None if after is None else ids.submission_of(after)
        for submission in await store.visible_of(self._db, request.session, start):
            lo, hi = store.span(submission)
            low = after if after is not None and after >= lo else UUID(int=lo.int - 1)
            # Filtering by a state that is not stored as such may thin out a page: go on until it is full.
            while len(items) <= request.size:
                rows = await self._db.fetch(Q["tasks_range"], low, hi, stored, request.size + 1)
                cursors = await store.cursors(self._db, rows)
                found = [(row, store.status_of(row, cursors, session)) for row in rows]
                items += [store.task_of(row, state) for row, state in found if wanted is None or state == wanted]
                if len(rows) <= request.size:
                    break
                low = rows[-1]["id"]
            if len(items) > request.size:
                break
        items, more = fitting(items, request.size)
        return TaskPage(items, str(items[-1].id) if more else "")

    async def confirm(self, ctx: Context, request: Confirm) -> Confirmed:
        """A copy may run if its attempt is the current one and no other live worker is known to hold it."""
        asked = dict(request.tasks)
        rows = await self._db.fetch(Q["confirmable"], list(asked))
        return Confirmed(
            [
                row["id"]
                for row in rows
                if row["attempt"] == asked[row["id"]] and row["worker"] in (None, request.worker)
            ]
        )

    async def inputs(self, ctx: Context, request: InputsOf) -> Inputs:
        rows = await self._db.fetch(Q["task_inputs"], request.task, request.start)
        values: list[Value] = []
        room = MESSAGE_LIMIT * 3 // 4 - 1024  # base64 takes the last quarter
        for row in rows:
            room -= 128 + len(row["data"] or b"")
            if room < 0:
                break
            values.append(Value(row["id"], row["size"], row["data"], row["object"]))
        more = request.start + len(values) if len(values) < len(rows) or len(rows) == 500 else None
        return Inputs(values, more)

    async def _seen(self, ctx: Context, request: TaskRef) -> tuple[store.Row, SessionStatus]:
        """The task's row and its session's status."""
        row = await store.task(self._db, request.task)
        if row["parent"] is not None and await store.unborn(self._db, ids.submission_of(request.task)):
            raise NotFound(f"there is no task {request.task}", field="task")
        session = await store.session(self._db, row["session"])
        check(ctx, session, "task")
        return row, SessionStatus(session["status"])
