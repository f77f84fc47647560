"""Pages of tasks, results and sessions, filtered and sorted, and tasks counted. Only visible submissions count.

Sorted by id, a page looks into one submission, then into the next two, four and so on until it is full; in any other order it
has to look into all of them. The token of the next page is where this one ended, so that nothing that stays where it is
is shown twice or left out, whatever happens in between.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

from services.scheduler.compute.lists import cost, places
from services.scheduler.compute.lists.filters import RESULTS, SEEN, SESSIONS, TASKS, Filter, Order
from services.scheduler.compute.lists.places import Place
from services.scheduler.compute.results.store import result_of
from services.scheduler.compute.sessions.store import session_of
from services.scheduler.compute.submissions import store as submissions
from services.scheduler.compute.tasks.status import task_of
from services.scheduler.spans import result_span, task_span
from shared.contracts.compute import (
    Condition,
    ResultPage,
    ResultQuery,
    SessionList,
    SessionPage,
    TaskCount,
    TaskCounts,
    TaskPage,
    TaskQuery,
)
from shared.contracts.paging import Page
from shared.contracts.states import SessionStatus, TaskStatus, name_of
from shared.db.sql import Db, Row, load
from shared.service.paging import T, fitting, token_of

Q = load(__file__, "lists.sql")
_MOST = 256
"""Submissions looked into at once for a page sorted by id."""
_FIRST, _BEYOND = UUID(int=0), UUID(int=(1 << 128) - 1)


async def tasks(db: Db, session: Row, asked: TaskQuery) -> TaskPage:
    """A page of a session's tasks; `session` is its row."""
    cost.check(TASKS.fields, asked.where, asked.sort)
    seen = _seen(session)
    filter = Filter(TASKS, Q.tasks.parameters, seen)
    order = filter.order(asked.sort, "id")
    place = places.read(asked, order.type)
    query = list_query(
        "tasks", order, "t.id", filter.where(asked.where, asked.status), filter.after(order, place), seen
    )
    spans = [task_span(submission) for submission in await submissions.visible_of_session(db, session["id"])]
    rows: list[Row] = []
    for part in _parts(spans, order, place):
        filter.put(lows=[low for low, _ in part], highs=[high for _, high in part], most=asked.size + 1)
        rows += await db.fetch(query, *filter.values)
        if len(rows) > asked.size:
            break
    items, next = _page(rows, asked, order, lambda row: task_of(row, TaskStatus(row["seen"])))
    return TaskPage(items, next)


async def count(db: Db, session: Row, asked: TaskCount) -> TaskCounts:
    """How many tasks of a session are in each state."""
    cost.check(TASKS.fields, asked.where)
    seen = _seen(session)
    filter = Filter(TASKS, Q.count.parameters, seen)
    query = _put(Q.count.text, {"where": filter.where(asked.where), "seen": seen})
    spans = [task_span(submission) for submission in await submissions.visible_of_session(db, session["id"])]
    filter.put(lows=[low for low, _ in spans], highs=[high for _, high in spans])
    found = {TaskStatus(row["seen"]): row["tasks"] for row in await db.fetch(query, *filter.values)}
    return TaskCounts(session["id"], sum(found.values()), {name_of(state): found[state] for state in sorted(found)})


async def results(db: Db, session: UUID, asked: ResultQuery) -> ResultPage:
    """A page of a session's results: those of its submissions, and those that were made by themselves."""
    cost.check(RESULTS.fields, asked.where, asked.sort)
    filter = Filter(RESULTS, Q.results.parameters)
    order = filter.order(asked.sort, "id")
    named = [Condition("name", asked.name)] if asked.name else []
    where = [[*group, *named] for group in asked.where or [[]]]
    place = places.read(asked, order.type)
    query = list_query("results", order, "r.id", filter.where(where, asked.status), filter.after(order, place))
    spans = [result_span(submission) for submission in await submissions.visible_of_session(db, session)]
    rows: list[Row] = []
    parts, between = list(_parts(spans, order, place)) or [[]], None
    for number, part in enumerate(parts):
        # What was made by itself belongs to the part whose submissions it lies between.
        edge = (parts[number + 1][0][1 if order.down else 0]) if number + 1 < len(parts) else None
        between = _between(between, edge, down=order.down)
        filter.put(lows=[low for low, _ in part], highs=[high for _, high in part], most=asked.size + 1)
        filter.put(session=session, low=between[0], high=between[1])
        rows += await db.fetch(query, *filter.values)
        if len(rows) > asked.size:
            break
    items, next = _page(rows, asked, order, result_of)
    return ResultPage(items, next)


async def sessions(db: Db, owner: str | None, asked: SessionList) -> SessionPage:
    """A page of sessions, of one owner or of all."""
    cost.check(SESSIONS.fields, asked.where, asked.sort)
    filter = Filter(SESSIONS, Q.sessions.parameters)
    order = filter.order(asked.sort, "-id")
    place = places.read(asked, order.type)
    where, after = filter.where(asked.where, asked.status), filter.after(order, place)
    filter.put(owner=owner, most=asked.size + 1)
    rows = await db.fetch(list_query("sessions", order, "e.id", where, after), *filter.values)
    items, next = _page(rows, asked, order, session_of)
    return SessionPage(items, next)


def _seen(session: Row) -> str:
    return SEEN.get(SessionStatus(session["status"]), "t.status")


def _put(text: str, pieces: dict[str, str]) -> str:
    for name, piece in pieces.items():
        text = text.replace(f"{{{name}}}", piece)
    return text


def list_query(name: str, order: Order, id: str, where: str, after: str, seen: str = "") -> str:
    """The query of the list `name`, with the SQL of its condition, its order and the place after which it goes on."""
    alone, way = order.field == "id", order.direction
    pieces = {
        "where": where,
        "after": after,
        "key": order.key,
        "order": f"{id} {way}" if alone else f"{order.key} {way}, {id} {way}",
        "page": f"y.id {way}" if alone else f"y.key {way}, y.id {way}",
        "last": f"s.id {way}" if alone else f"s.key {way}, s.id {way}",
        "seen": seen,
    }
    return _put(Q[name].text, pieces)


def _parts(spans: list[tuple[UUID, UUID]], order: Order, after: Place | None) -> Iterator[Sequence[tuple[UUID, UUID]]]:
    """The spans that a page looks into, together or one part after the other."""
    if order.field != "id":
        yield spans
        return
    if order.down:
        spans = spans[::-1]
    if after is not None:
        last = after.last
        spans = [one for one in spans if (one[0] <= last if order.down else one[1] >= last)]
    start, step = 0, 1
    while start < len(spans):
        yield spans[start : start + step]
        start, step = start + step, min(2 * step, _MOST)


def _between(before: tuple[UUID, UUID] | None, edge: UUID | None, *, down: bool) -> tuple[UUID, UUID]:
    """The next range of ids from where the one before ended, up to `edge` (None: to the end)."""
    if down:
        return edge or _FIRST, before[0] if before else _BEYOND
    return before[1] if before else _FIRST, edge or _BEYOND


def _page(rows: Sequence[Row], asked: Page, order: Order, make: Callable[[Any], T]) -> tuple[list[T], str]:
    """The items that fit into a reply, and the token of what comes after them."""
    items, more = fitting([make(row) for row in rows], asked.size)
    last = rows[len(items) - 1] if more else None
    if last is None:
        return items, ""
    return items, token_of(asked, Place("" if order.field == "id" else last["key"], last["id"]))
