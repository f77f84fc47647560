"""What a task has printed, for those who may see the task."""

from services.scheduler.compute.sessions import store as sessions
from services.scheduler.compute.tasks import logs, store
from shared.contracts.compute import TaskLog, TaskLogs
from shared.contracts.endpoints.compute import TASK_LOGS
from shared.contracts.errors import NotFound
from shared.contracts.states import TASK_ENDS
from shared.db.sql import Db
from shared.service.access import check_owner
from shared.service.context import Context
from shared.service.service import Service


class Logs:
    """Answers `task.logs`."""

    def __init__(self, db: Db) -> None:
        self._db = db

    def register(self, service: Service) -> None:
        """Registers the handlers."""
        service.on(TASK_LOGS, self.logs)

    async def logs(self, ctx: Context, request: TaskLogs) -> TaskLog:
        """What an attempt of a task has printed, from a character on; by default the latest attempt."""
        # The task before its log: what an ended attempt has printed was stored before it ended.
        row = await store.get(self._db, request.task)
        check_owner(ctx, await sessions.get(self._db, row["session"]), request.task, "task")
        latest = row["attempt"]
        attempt = latest if request.attempt is None else request.attempt
        if attempt > latest:
            raise NotFound(f"the task has no attempt {attempt}", field="attempt")
        ended = attempt < latest or row["status"] in TASK_ENDS
        rows = await logs.pieces(self._db, request.task, attempt, request.start)
        text, position, more = logs.page(rows, request.start, ended=ended)
        return TaskLog(request.task, attempt, text, position, more, ended)
