"""The states of all tasks and results of a session, page by page: what a watch begins with.

A page is read at a time of its own. Who keeps up with the events from before the first page on ends with the truth.
"""

from collections.abc import Callable, Iterable
from uuid import UUID

from services.scheduler.compute.sessions import store as sessions
from services.scheduler.compute.tasks import store as tasks_store
from services.scheduler.compute.tasks.status import status_of
from services.scheduler.machine import MACHINES
from services.scheduler.spans import result_span, task_span
from shared.contracts import ids
from shared.contracts.compute import States, StatesQuery
from shared.contracts.endpoints.compute import SESSION_STATES
from shared.contracts.errors import Invalid
from shared.contracts.states import ResultStatus, SessionStatus, TaskStatus, name_of
from shared.db.sql import Db, Query, Row, load
from shared.service.access import check_owner
from shared.service.context import Context
from shared.service.paging import parse_token
from shared.service.service import Service

Q = load(__file__, "states.sql", MACHINES)
SIZE = 8000
"""Ids on a page: about 310 KB."""
_PARTS = ("t", "s", "r")
"""What is read in turn, as a token begins: tasks, results made by themselves, results of the submissions' tasks."""
_NIL = UUID(int=0)

Span = Callable[[UUID], tuple[UUID, UUID]]


class _Named:
    """Ids by the name of their state."""

    def __init__(self) -> None:
        self.names: dict[str, list[UUID]] = {}

    def add(self, pairs: Iterable[tuple[UUID, str]]) -> None:
        for one, name in pairs:
            self.names.setdefault(name, []).append(one)


class StatePages:
    """Answers `session.states`."""

    def __init__(self, db: Db) -> None:
        self._db = db

    def register(self, service: Service) -> None:
        """Registers the handlers."""
        service.on(SESSION_STATES, self.states)

    async def states(self, ctx: Context, request: StatesQuery) -> States:
        """The states of some tasks and results of a session, or a page of all."""
        session = await sessions.get(self._db, request.session)
        check_owner(ctx, session, request.session)
        if request.tasks is not None or request.results is not None:
            return await self._few(session, request)
        return await self._page(session, request.token)

    async def _few(self, session: Row, request: StatesQuery) -> States:
        tasks, results = _Named(), _Named()
        rows = await Q.tasks.fetch(self._db, tasks=request.tasks or [], session=session["id"])
        tasks.add(await self._tasks(session, rows))
        rows = await Q.results.fetch(self._db, results=request.results or [], session=session["id"])
        results.add(_results(rows))
        return States(session["id"], tasks.names, results.names)

    async def _page(self, session: Row, token: str) -> States:
        part, after = _parse(token)
        tasks, results = _Named(), _Named()
        room = SIZE
        while part < len(_PARTS) and room:
            kind = _PARTS[part]
            rows, last = await self._rows(kind, session["id"], after, room)
            if kind == "t":
                tasks.add(await self._tasks(session, rows))
            else:
                results.add(_results(rows))
            room -= len(rows)
            part, after = (part, last) if last is not None else (part + 1, _NIL)
        following = f"{_PARTS[part]}{after}" if part < len(_PARTS) else ""
        return States(session["id"], tasks.names, results.names, following)

    async def _rows(self, kind: str, session: UUID, after: UUID, room: int) -> tuple[list[Row], UUID | None]:
        """At most `room` rows, and behind which id there may be more."""
        if kind == "t":
            return await self._ranges(Q.tasks_of_spans, task_span, session, after, room)
        if kind == "r":
            return await self._ranges(Q.results_of_spans, result_span, session, after, room)
        rows = await Q.standalone_results.fetch(self._db, session=session, after=after, most=room)
        return rows, rows[-1]["id"] if len(rows) == room else None

    async def _ranges(
        self, query: Query, span: Span, session: UUID, after: UUID, room: int
    ) -> tuple[list[Row], UUID | None]:
        """Reads the states of as many submissions as fit in `room`, large or small."""
        found = await Q.visible_sizes.fetch(self._db, session=session, start=ids.submission_of(after), most=room + 1)
        spans: list[tuple[UUID, UUID]] = []
        tasks = 0
        for one in found:
            lo, hi = span(one["id"])
            if hi <= after:
                continue
            if tasks >= room:
                break
            spans.append((lo, hi))
            tasks += one["tasks"]
        if not spans:
            return [], None
        rows = await query.fetch(
            self._db, lows=[lo for lo, _ in spans], highs=[hi for _, hi in spans], after=after, most=room
        )
        if len(rows) == room:
            return rows, rows[-1]["id"]
        all_seen = len(found) <= room and found[-1]["id"] < spans[-1][1]
        return rows, None if all_seen else spans[-1][1]  # tasks may have no outputs: there may be others all the same

    async def _tasks(self, session: Row, rows: list[Row]) -> Iterable[tuple[UUID, str]]:
        if not rows:
            return []
        cursors, state = await tasks_store.cursors(self._db, rows), SessionStatus(session["status"])
        names = {status: name_of(status) for status in TaskStatus}
        return [(row["id"], names[status_of(row, cursors, state)]) for row in rows]


def _results(rows: list[Row]) -> Iterable[tuple[UUID, str]]:
    names = {int(status): name_of(status) for status in ResultStatus}
    return [(row["id"], names[row["status"]]) for row in rows]


def _parse(token: str) -> tuple[int, UUID]:
    if not token:
        return 0, _NIL
    if token[0] not in _PARTS:
        raise Invalid("not a token that a page gave", field="token")
    return _PARTS.index(token[0]), parse_token(token[1:]) or _NIL
