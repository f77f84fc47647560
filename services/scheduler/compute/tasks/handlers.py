"""Tasks: seen by users, asked about by workers."""

from services.scheduler import store
from services.scheduler.compute.tasks import explain
from services.scheduler.ports import Waiting
from shared.contracts.compute import Explanation, Task, TaskRef, Value
from shared.contracts.endpoints.compute import TASK_EXPLAIN, TASK_GET
from shared.contracts.endpoints.work import TASK_CONFIRM, TASK_INPUTS
from shared.contracts.states import SessionStatus
from shared.contracts.topology import MESSAGE_LIMIT
from shared.contracts.work import Confirm, Confirmed, Inputs, InputsOf
from shared.service.access import check
from shared.service.context import Context
from shared.service.service import Service

Q = store.Q
INPUTS = 1000
"""Inputs on a page, at most."""
ROOM = MESSAGE_LIMIT * 3 // 4 - 1024
"""Bytes of their data and keys on a page: base64 takes the last quarter."""
INPUT_ROOM = 128
"""Bytes of an input beside its data."""


class Tasks:
    def __init__(self, db: store.Db, waiting: Waiting) -> None:
        self._db, self._waiting = db, waiting

    def register(self, service: Service) -> None:
        service.on(TASK_GET, self.get)
        service.on(TASK_EXPLAIN, self.explain)
        service.on(TASK_CONFIRM, self.confirm)
        service.on(TASK_INPUTS, self.inputs)

    async def get(self, ctx: Context, request: TaskRef) -> Task:
        row, session = await self._seen(ctx, request)
        return store.task_of(row, store.status_of(row, await store.cursors(self._db, [row]), session))

    async def explain(self, ctx: Context, request: TaskRef) -> Explanation:
        row, session = await self._seen(ctx, request)
        return await explain.explain(self._db, self._waiting, row, session)

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
        rows = await self._db.fetch(Q["task_inputs"], request.task, request.start, INPUTS, ROOM, INPUT_ROOM)
        values = [Value(row["id"], row["size"], row["data"], row["object"]) for row in rows]
        return Inputs(values, request.start + len(values) if rows and rows[-1]["more"] else None)

    async def _seen(self, ctx: Context, request: TaskRef) -> tuple[store.Row, SessionStatus]:
        """The task's row and its session's status."""
        row = await store.task(self._db, request.task)
        session = await store.session(self._db, row["session"])
        check(ctx, session, "task")
        return row, SessionStatus(session["status"])
