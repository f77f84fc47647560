"""Tasks: submitted, looked at, cancelled, run again."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any, Final
from uuid import UUID

import msgspec

from shared.client.http import Http
from shared.client.paging import items
from shared.client.paths import COMPUTE
from shared.client.sessions import Id, filter_json
from shared.contracts.compute import (
    Attempt,
    AttemptPage,
    Explanation,
    Options,
    Submission,
    Task,
    TaskChanges,
    TaskCounts,
    TaskLog,
    TaskPage,
    TaskSpec,
    Where,
)
from shared.contracts.ids import submission_id

NDJSON: Final = "application/x-ndjson"
_encode = msgspec.json.Encoder().encode_lines

Line = TaskSpec | dict[str, Any]


class Tasks:
    """Every method that takes a task or a session raises NotFoundError if there is none."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def submit(
        self,
        session: Id,
        tasks: Iterable[Line] | bytes | AsyncIterable[bytes],
        *,
        options: Options | None = None,
        key: str = "",
    ) -> Submission:
        """Submits tasks, all or none.

        tasks    one a line: `{"function": "square", "payload": 3}`, with the fields of `TaskSpec`; or newline-delimited JSON,
                 at once or in pieces. Pieces are sent while they come, and cannot be sent again if the connection is lost
        options  of the tasks that say nothing else
        key      an idempotency key: two calls with the same one are one submission
        InvalidError names the first line that is wrong, in `problem["field"]`.
        """
        content: Any = tasks if isinstance(tasks, bytes | AsyncIterable) else _encode(list(tasks))
        query: dict[str, Any] = {"options": msgspec.json.encode(options).decode()} if options is not None else {}
        if not key:  # an id of our own makes it one as well, and keeps a session's submissions in the order of time
            query["id"] = str(submission_id())
        path = f"{COMPUTE}/sessions/{session}/submissions"
        headers = {"Content-Type": NDJSON}
        return await self._http.ask("POST", path, Submission, content=content, query=query, headers=headers, key=key)

    async def get(self, task: Id) -> Task:
        """The task; NotFoundError if there is none."""
        return await self._http.ask("GET", f"{COMPUTE}/tasks/{task}", Task)

    def list(self, session: Id, *, status: str = "", where: Where = [], sort: str = "") -> AsyncIterator[Task]:  # noqa: B006
        """Tasks of a session, in the order in which they were submitted or as `sort` says."""
        query: dict[str, Any] = {"status": status, "where": filter_json(where), "sort": sort}
        return items(self._http, f"{COMPUTE}/sessions/{session}/tasks", TaskPage, **query)

    async def count(self, session: Id, where: Where = []) -> TaskCounts:  # noqa: B006
        """How many tasks of a session are in each state."""
        query = {"where": filter_json(where)}
        return await self._http.ask("GET", f"{COMPUTE}/sessions/{session}/tasks/count", TaskCounts, query=query)

    async def explain(self, task: Id) -> Explanation:
        """Why a task is where it is."""
        return await self._http.ask("GET", f"{COMPUTE}/tasks/{task}/explain", Explanation)

    def attempts(self, task: Id) -> AsyncIterator[Attempt]:
        """The attempts at a task, from the first to the current one."""
        return items(self._http, f"{COMPUTE}/tasks/{task}/attempts", AttemptPage)

    async def log(self, task: Id, *, attempt: int | None = None, start: int = 0) -> TaskLog:
        """What an attempt (the latest, if none is given) has printed, from character `start` on: the next 256 KiB."""
        query = {"attempt": attempt, "start": start}
        return await self._http.ask("GET", f"{COMPUTE}/tasks/{task}/logs", TaskLog, query=query)

    async def cancel(self, session: Id, tasks: Iterable[UUID]) -> TaskChanges:
        """Ends tasks of a session, at most 10,000; what waits for their results fails."""
        path = f"{COMPUTE}/sessions/{session}/tasks/cancel"
        return await self._http.ask("POST", path, TaskChanges, body={"tasks": list(tasks)})

    async def rerun(self, session: Id, tasks: Iterable[UUID] | None = None) -> TaskChanges:
        """Another attempt for tasks that ended badly, and for those that ended because of them; all of them if none is named."""
        path = f"{COMPUTE}/sessions/{session}/tasks/rerun"
        body = {} if tasks is None else {"tasks": list(tasks)}
        return await self._http.ask("POST", path, TaskChanges, body=body)
