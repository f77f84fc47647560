"""Lists with filters, in any order, page by page: of tasks, results and sessions."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from services.scheduler.heavy_reads import PLACES_OF_ONE
from services.scheduler.pools import LISTS
from shared.contracts import compute as c
from shared.contracts import ids
from shared.contracts.compute import filters as f
from shared.contracts.errors import Invalid, NotFound, TimedOut
from shared.contracts.states import ResultStatus, SessionStatus, TaskStatus
from shared.db.pool import open_pool
from shared.service.context import Context
from shared.service.middleware.database import database
from shared.worker import App, Task
from tests.support import compute_functions
from tests.support.compute_rig import Rig, open_rig, spec
from tests.support.servers import Servers
from tests.support.wait import wait_until

app = App()
gates: dict[UUID, asyncio.Event] = {}


@app.function
async def note(task: Task) -> Any:
    return task.payload


@app.function
async def fail(task: Task) -> None:
    raise RuntimeError("disk on fire")


@app.function
async def wait(task: Task) -> None:
    await gates.setdefault(task.id, asyncio.Event()).wait()


def open_gates() -> None:
    for gate in gates.values():
        gate.set()


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as rig, rig.worker(app, slots=8, name="lister"):
        yield rig


async def sql(rig: Rig, query: str, *values: object) -> None:
    admin = await asyncpg.connect(rig.database.admin_url)
    try:
        await admin.execute(query, *values)
    finally:
        await admin.close()


Page = c.TaskPage | c.ResultPage | c.SessionPage


class Listed:
    """A list of the scheduler's, asked in any way."""

    def __init__(self, rig: Rig, name: str, query: type[Any], page: type[Any], **fixed: Any) -> None:
        self._rig, self._name, self._query, self._page, self._fixed = rig, name, query, page, fixed

    async def page(self, **asked: Any) -> Any:
        return await self._rig.ask(f"{self._name}.list", self._query(**self._fixed, **asked), self._page)

    async def all(self, size: int = 1000, **asked: Any) -> list[Any]:
        items: list[Any] = []
        token = ""
        while True:
            page = await self.page(size=size, token=token, **asked)
            items += page.items
            if not (token := page.next):
                return items
            assert len(page.items) == size

    async def fitting(self, field: str, op: Any, value: Any) -> list[Any]:
        return await self.all(where=[[c.Condition(field, value, op)]])


def tasks_of(rig: Rig, session: UUID) -> Listed:
    return Listed(rig, "task", c.TaskQuery, c.TaskPage, session=session)


def results_of(rig: Rig, session: UUID) -> Listed:
    return Listed(rig, "result", c.ResultQuery, c.ResultPage, session=session)


async def varied(rig: Rig) -> UUID:
    """A session with tasks of all kinds: in two partitions and three submissions, ended, failed, waiting, ready."""
    lonely = await rig.partition()
    session = (
        await rig.ask(
            "session.create",
            c.SessionCreate(["default", lonely], c.Options(application_name="survey", labels={"night": "1"})),
            c.Session,
        )
    ).id
    never, payload = await rig.result(session), await rig.result(session, b'"later"')
    done = [spec(payload=n, options={"priority": n % 3 + 1, "max_duration": n + 0.1}) for n in range(7)]
    labels = [spec(outputs=n % 3, options={"labels": {"night": "2", "of": f"{n}%_"}}) for n in (0, 3, 6)]
    first = await rig.submit(session, [*done, *labels, spec("fail", options={"application_version": "v2"})])
    await rig.all_ended(session)
    more = [
        spec(inputs=[never, ids.result_id(first, 0)], options={"max_retries": 0}),
        spec(inputs=[ids.result_id(first, 3)], payload_result=str(payload), options={"partition": lonely}),
        *(spec(options={"partition": lonely, "priority": 40 + n}) for n in range(3)),
    ]
    await rig.submit(session, more, application_service="night shift")
    await rig.submit(session, [spec("wait"), spec("wait")], priority=99)
    await wait_until(lambda: _statuses(rig, session, "processing", 2))
    await wait_until(lambda: _statuses(rig, session, "pending", 1))  # nobody serves the others' partition: they stay
    return session


async def _statuses(rig: Rig, session: UUID, status: str, count: int) -> bool:
    return len((await rig.ask("task.list", c.TaskQuery(session=session, status=status), c.TaskPage)).items) == count


def shown(item: Any, field: str) -> Any:
    """A field's value as the reply has it."""
    if field.startswith("options."):
        value = shown(item.options, field.removeprefix("options."))
        return "" if value is None and not field.endswith(("priority", "max_retries", "max_duration")) else value
    if field.startswith("labels."):
        return (item.labels or {}).get(field.removeprefix("labels."), "")
    return getattr(item, field)


STATES: dict[str, Any] = {"task": TaskStatus, "result": ResultStatus, "session": SessionStatus}


def comparable(noun: str, kind: str, value: Any) -> Any:
    """A value as what it means, to compare with others of its kind."""
    if value is None:
        return None
    if kind == "time":
        return datetime.fromisoformat(value)
    if kind == "id":
        return UUID(str(value))
    return int(STATES[noun][value.upper()]) if kind == "status" else value


MODEL: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda x, v: x == v,
    "!=": lambda x, v: x != v,
    "<": lambda x, v: x is not None and x < v,
    "<=": lambda x, v: x is not None and x <= v,
    ">": lambda x, v: x is not None and x > v,
    ">=": lambda x, v: x is not None and x >= v,
    "contains": lambda x, v: v in x,
    "!contains": lambda x, v: v not in x,
    "starts": lambda x, v: x.startswith(v),
    "ends": lambda x, v: x.endswith(v),
    "in": lambda x, v: x in v,
}


def wire(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


async def check_all(listed: Listed, noun: str, fields: dict[str, str]) -> None:
    """Every operator of every field against what it means, for values that occur; every order, in small pages."""
    everything = await listed.all()
    assert len(everything) > 2
    for entry, kind in fields.items():
        field = entry.replace("*", "night")
        values = [shown(item, field) for item in everything]
        many = kind in ("ids", "texts")
        flat = [one for value in values for one in value] if many else values
        probes = sorted({str(wire(one)): wire(one) for one in flat if one is not None}.items())
        some = [one for _, one in (probes[0], probes[len(probes) // 2], probes[-1])] if probes else []
        for op in f.OPS[kind]:
            asked: list[Any] = list(some)
            if kind == "text" and op in ("contains", "!contains", "starts", "ends"):
                asked += [one[2:-2] for one in some] + [one[:3] for one in some] + [one[-3:] for one in some]
            if op in ("=", "!=") and kind in ("number", "time", "id"):
                asked.append(None)
            for value in [some] if op == "in" else asked:
                if many:
                    model = [op == "contains" if value in map(wire, x) else op != "contains" for x in values]
                else:
                    meant = (
                        [comparable(noun, kind, one) for one in value] if op == "in" else comparable(noun, kind, value)
                    )
                    model = [MODEL[op](comparable(noun, kind, x), meant) for x in values]
                found = [item.id for item in await listed.fitting(field, op, value)]
                expected = [item.id for item, fits in zip(everything, model, strict=True) if fits]
                assert found == expected, (field, op, value)
        if many:
            with pytest.raises(Invalid, match="many values") as raised:
                await listed.page(sort=field)
            assert raised.value.field == "sort"
            continue

        def key(item: Any, field: str = field, kind: str = kind) -> Any:
            value = comparable(noun, kind, shown(item, field))
            return (value is None, value if value is not None else 0, item.id)

        ordered = sorted(everything, key=key)
        for sort, expected in ((field, ordered), (f"-{field}", ordered[::-1])):
            found = [item.id for item in await listed.all(size=3, sort=sort)] if len(ordered) % 3 else []
            found = found or [item.id for item in await listed.all(size=4, sort=sort)]
            assert found == [item.id for item in expected], sort


async def test_every_field_of_tasks_filters_and_sorts(rig: Rig) -> None:
    session = await varied(rig)
    await check_all(tasks_of(rig, session), "task", f.TASK_FIELDS)
    open_gates()


async def test_every_field_of_results_filters_and_sorts(rig: Rig) -> None:
    session = await varied(rig)
    await check_all(results_of(rig, session), "result", f.RESULT_FIELDS)
    open_gates()


async def test_every_field_of_sessions_filters_and_sorts(rig: Rig) -> None:
    listed = Listed(rig, "session", c.SessionList, c.SessionPage)
    extra = await rig.partition()
    for n in range(3):
        options = c.Options(priority=n + 2, function=f"f{n}", labels={"night": str(n)}, application_name="a" * (n + 1))
        asked = c.SessionCreate(["default", extra][: 1 + n % 2], options, f"name {n}")
        await rig.ask("session.create", asked, c.Session)
    await rig.ask("session.close", c.SessionRef((await listed.page(size=1)).items[0].id), c.Session)
    everything = await listed.all()
    assert [one.id for one in everything] == sorted((one.id for one in everything), reverse=True)
    sorted_up = Listed(rig, "session", c.SessionList, c.SessionPage)
    plain = sorted_up.all
    sorted_up.all = lambda **asked: plain(**{"sort": "id", **asked})  # type: ignore[method-assign,assignment]
    await check_all(sorted_up, "session", f.SESSION_FIELDS)
    assert {one.owner for one in everything} == {"ann"}
    page = await rig.ask("session.list", c.SessionList(), c.SessionPage, user="bob")
    assert page.items == []


async def test_states_are_those_that_a_task_itself_shows(rig: Rig) -> None:
    """Chosen tasks are SUBMITTED without a write of their own; in a paused session what is ready is PAUSED."""
    session = await rig.session()
    never = await rig.result(session)
    chosen = await rig.submit(session, [spec("wait") for _ in range(200)])
    await rig.submit(session, [spec(inputs=[never])])
    await wait_until(lambda: _statuses(rig, session, "processing", 8))
    listed = tasks_of(rig, session)
    for state in (SessionStatus.RUNNING, SessionStatus.PAUSED):
        await sql(rig, "UPDATE scheduler.sessions SET status = $2 WHERE id = $1", session, int(state))
        seen = [item.status for item in await listed.all()]
        alone = await asyncio.gather(*(rig.status(item.id) for item in await listed.all()))
        assert seen == alone
        assert ("submitted" in seen, "paused" in seen) == (
            state is SessionStatus.RUNNING,
            state is SessionStatus.PAUSED,
        )
        counts = await rig.ask("task.count", c.TaskCount(session), c.TaskCounts)
        assert counts.counts == {status: seen.count(status) for status in dict.fromkeys(seen)}
        assert counts.total == 201
        for status in set(seen):
            some = await listed.all(status=status, size=50)
            assert [item.id for item in some] == [item.id for item in await listed.fitting("status", "=", status)]
            assert len(some) == seen.count(status)
        few = c.TaskCount(session, [[c.Condition("id", [str(ids.task_id(chosen, n)) for n in range(5)], "in")]])
        assert (await rig.ask("task.count", few, c.TaskCounts)).total == 5
    await sql(rig, "UPDATE scheduler.sessions SET status = 1 WHERE id = $1", session)
    await rig.ask("session.close", c.SessionRef(session), c.Session)
    open_gates()


async def test_pages_are_stable_while_tasks_come_and_end(rig: Rig) -> None:
    session = await rig.session()
    before = [await rig.submit(session, [spec("wait") for _ in range(9)], priority=50) for _ in range(4)]
    await wait_until(lambda: _statuses(rig, session, "processing", 8))
    listed = tasks_of(rig, session)
    there = {ids.task_id(id, line) for id in before for line in range(9)}
    for sort in ("", "-id", "-priority", "function", "created_at"):
        seen: list[UUID] = []
        token = ""
        while True:
            page = await listed.page(size=7, token=token, sort=sort)
            seen += [item.id for item in page.items]
            await rig.submit(session, [spec(payload=1, options={"priority": 99})])
            if not (token := page.next):
                break
        assert len(seen) == len(set(seen)), sort
        assert there <= set(seen), sort
    await rig.ask("session.close", c.SessionRef(session), c.Session)
    open_gates()


async def test_or_of_ands(rig: Rig) -> None:
    session = await rig.session()
    await rig.submit(session, [spec(payload=n, options={"priority": n + 1, "labels": {"n": str(n)}}) for n in range(9)])
    low, high, odd = c.Condition("priority", 3, "<"), c.Condition("priority", 7, ">"), c.Condition("labels.n", "7")
    listed = tasks_of(rig, session)

    async def priorities(*where: list[c.Condition]) -> list[int]:
        return [item.priority for item in await listed.all(where=list(where))]

    assert await priorities([low], [high, odd]) == [1, 2, 8]
    assert await priorities([low, high]) == []
    assert await priorities([low], []) == await priorities() == list(range(1, 10))
    assert await priorities([c.Condition("priority", 2.5, "<")]) == [1, 2]
    assert [one.priority for one in await listed.all(sort="-labels.n", size=2)] == list(range(9, 0, -1))


async def test_tasks_of_an_unfinished_submission_do_not_count(rig: Rig) -> None:
    session, id = await rig.session(), ids.submission_id()
    await rig.submit(session, [spec()])
    await rig.chunk(session, id, 0, 0, [spec(), spec()])
    for sort in ("", "-status"):
        assert len(await tasks_of(rig, session).all(sort=sort)) == 1
        assert len(await results_of(rig, session).all(sort=sort)) == 1
    assert (await rig.ask("task.count", c.TaskCount(session), c.TaskCounts)).total == 1
    await rig.chunk(session, id, 1, 2, [spec()], last=True)
    assert len(await tasks_of(rig, session).all()) == 4


WRONG: list[tuple[str, str, Any, str]] = [
    ("nothing", "=", "x", "field"),
    ("labels.", "=", "x", "field"),
    ("labels.a\x00", "=", "x", "field"),
    ("t.id; DROP TABLE tasks", "=", "x", "field"),
    ("error", "<", "x", "op"),
    ("status", "contains", "e", "op"),
    ("inputs", "=", "019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f", "op"),
    ("priority", "starts", 1, "op"),
    ("priority", "=", "1", "value"),
    ("priority", "=", True, "value"),
    ("priority", "=", 10**40, "value"),
    ("priority", "in", 1, "value"),
    ("priority", "in", [1, "2"], "value[1]"),
    ("priority", "<", None, "value"),
    ("error", "=", None, "value"),
    ("error", "=", 7, "value"),
    ("error", "=", "a\x00b", "value"),
    ("error", "=", ["a"], "value"),
    ("status", "=", "done", "value"),
    ("status", "=", 7, "value"),
    ("id", "=", "7", "value"),
    ("ended_at", ">", "yesterday", "value"),
    ("ended_at", ">", "2026-03-01T12:00:00", "value"),
    ("ended_at", ">", "0001-01-01T00:00:00+14:00", "value"),
    ("inputs", "contains", 7, "value"),
]


@pytest.mark.parametrize(("field", "op", "value", "at"), WRONG)
async def test_what_is_wrong_with_a_filter_is_named(rig: Rig, field: str, op: Any, value: Any, at: str) -> None:
    session = await rig.session()
    where = [[], [c.Condition("priority", 1), c.Condition(field, value, op)]]
    for name, asked in (("list", c.TaskQuery(session=session, where=where)), ("count", c.TaskCount(session, where))):
        with pytest.raises(Invalid) as raised:
            await rig.ask(f"task.{name}", asked, c.TaskPage)
        assert raised.value.field == f"where[1][1].{at}"


async def test_orders_and_tokens_that_are_none(rig: Rig) -> None:
    session = await rig.session()
    await rig.submit(session, [spec(), spec()])
    listed = tasks_of(rig, session)

    async def field(**asked: Any) -> str:
        with pytest.raises(Invalid) as raised:
            await listed.page(**asked)
        return raised.value.field

    assert await field(sort="nothing") == "sort"
    assert await field(sort="--id") == "sort"
    assert await field(status="done") == "status"
    token = (await listed.page(sort="priority", size=1)).next
    assert await field(sort="-priority", token=token) == "token"
    assert await field(token=token) == "token"
    for wrong in ("x", "abcd", str(uuid4())):
        assert await field(sort="priority", token=wrong) == "token"
    unknown = msgspec.json.encode({"session": session, "where": [[{"field": "id", "op": "~", "value": 1}]]})
    with pytest.raises(Invalid) as raised:
        await rig.ask("task.list", unknown, c.TaskPage)
    assert raised.value.field == "where[0][0].op"


async def test_a_hundred_thousand_tasks_are_filtered_and_sorted_in_well_under_a_second(rig: Rig) -> None:
    session = await rig.session(function="nobody", application_name="survey")
    id = await rig.submit(session, [spec("nobody")])
    await sql(
        rig,
        """INSERT INTO scheduler.tasks (id, session, remaining, deps, status, attempt, partition, priority, max_retries,
               max_duration, function, payload, outputs, labels, application, ended_at)
           SELECT (left(t.id::text, 28) || lpad(to_hex(n), 8, '0'))::uuid, t.session, 0, 0,
                  CASE WHEN n % 2 = 0 THEN 6 ELSE 2 END, 0, t.partition, n % 99 + 1, 2, 0, 'nobody', t.payload,
                  t.outputs, jsonb_build_object('n', n::text), t.application, now() - make_interval(secs => n)
           FROM scheduler.tasks t CROSS JOIN generate_series(1, 99999) AS n WHERE t.id = $1""",
        ids.task_id(id, 0),
    )
    listed = tasks_of(rig, session)
    loop = asyncio.get_running_loop()

    async def seconds(expected: int, **asked: Any) -> float:
        best = 9.0
        for _ in range(3):
            start = loop.time()
            assert len((await listed.page(**asked)).items) == expected
            best = min(best, loop.time() - start)
        return best

    rare = [[c.Condition("labels.n", "77777")]]
    took = {
        "first page": await seconds(100),
        "one of them": await seconds(1, where=rare),
        "pending, latest first": await seconds(100, status="pending", sort="-ended_at"),
        "most urgent": await seconds(100, sort="-priority", where=[[c.Condition("partition", "default")]]),
    }
    start = loop.time()
    assert (await rig.ask("task.count", c.TaskCount(session), c.TaskCounts)).total == 100_000
    took["counted"] = loop.time() - start
    print({name: round(each, 3) for name, each in took.items()})
    assert max(took.values()) < 1, took
    assert took["first page"] < 0.1, took  # read along the primary key, not sorted


async def test_lists_of_one_user_keep_nobody_waiting(rig: Rig) -> None:
    """None of them can be read for a while: without shares they would hold all connections."""
    session, many = await rig.session(), 40
    await rig.submit(session, [spec()])
    admin = await asyncpg.connect(rig.database.admin_url)
    try:
        held = admin.transaction()
        await held.start()
        await admin.execute("LOCK TABLE scheduler.tasks IN ACCESS EXCLUSIVE MODE")
        asked = c.TaskQuery(session=session, where=[[c.Condition("error", "x", "contains")]])
        mine = [asyncio.create_task(rig.ask("task.list", asked, c.TaskPage)) for _ in range(many)]
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'scheduler.tasks'::regclass"

        async def there() -> bool:
            return bool(await admin.fetchval(waiting) >= PLACES_OF_ONE)

        await wait_until(there)
        assert (await rig.ask("session.get", c.SessionGet(session), c.Session)).id == session
        theirs = await rig.session(user="bob")
        page = await rig.ask("session.list", c.SessionList(), c.SessionPage, user="bob")
        assert [one.id for one in page.items] == [theirs]
        assert not any(one.done() for one in mine)
        await held.rollback()
        assert all(page.items == [] for page in await asyncio.gather(*mine))
    finally:
        await admin.close()


async def test_a_list_that_takes_too_long_is_ended_by_the_database(rig: Rig) -> None:
    url = rig.database.url("scheduler")
    async with await open_pool(url, "scheduler", settings=LISTS) as pool:
        assert await pool.fetchval("SHOW statement_timeout") == "8s"
    async with await open_pool(url, "scheduler", settings=LISTS | {"statement_timeout": "20ms"}) as pool:

        async def slow(ctx: Context, data: bytes) -> bytes:
            return bytes(await pool.fetchval("SELECT pg_sleep(60)::text::bytea"))

        with pytest.raises(TimedOut, match="the database took too long"):
            await database(slow)(Context("ann", subject="hr.rpc.scheduler.task.list"), b"")


async def test_a_filter_that_costs_too_much_is_refused_by_its_name(rig: Rig) -> None:
    session = await rig.session()
    dear = [[c.Condition("error", f"{n}", "contains")] for n in range(256)]
    for name, asked, reply in (
        ("task.list", c.TaskQuery(session=session, where=dear), c.TaskPage),
        ("task.count", c.TaskCount(session, where=dear), c.TaskCounts),
        ("result.list", c.ResultQuery(session=session, where=_named(dear)), c.ResultPage),
        ("session.list", c.SessionList(where=_named(dear)), c.SessionPage),
    ):
        with pytest.raises(Invalid, match="cost 1536 units, of which a list may take 512") as raised:
            await rig.ask(name, asked, reply)
        assert raised.value.field == "where"


def _named(where: list[list[c.Condition]]) -> list[list[c.Condition]]:
    return [[c.Condition("name", one.value, one.op) for one in group] for group in where]


async def test_attempts_are_told_from_the_first_to_the_current_one(rig: Rig) -> None:
    partition = await rig.partition()
    session = await rig.session(partition)
    async with rig.worker(compute_functions.app, partition=partition, name="child-keeper"):
        id = await rig.submit(session, [spec("crash"), spec("double")])  # which has no input
        lost, failed = ids.task_id(id, 0), ids.task_id(id, 1)
        await rig.until(lost, "completed")
        await rig.until(failed, "error")
        await rig.ask("task.rerun", c.TaskRerun(session), c.TaskChanges)
        await wait_until(lambda: _again(rig, failed))

    async def attempts(task: UUID, **page: Any) -> c.AttemptPage:
        return await rig.ask("task.attempts", c.AttemptQuery(task=task, **page), c.AttemptPage)

    first, second = (await attempts(lost)).items
    assert (first.attempt, first.name, first.status, first.worker) == (0, str(lost), "retried", "child-keeper")
    assert "ended with status 7" in first.error
    assert first.ended_at is not None
    assert (second.attempt, second.name, second.status, second.error) == (1, f"{lost}###1", "completed", "")
    for one in (await attempts(failed)).items:
        assert (one.status, one.error.partition(":")[0]) == ("error", "IndexError")
    page = await attempts(failed, size=1)
    assert [one.attempt for one in page.items] == [0]
    page = await attempts(failed, size=1, token=page.next)
    assert ([one.attempt for one in page.items], page.next) == ([1], "")
    with pytest.raises(NotFound):
        await rig.ask("task.attempts", c.AttemptQuery(task=failed), c.AttemptPage, user="bob")
    with pytest.raises(Invalid) as raised:
        await attempts(failed, token="x")
    assert raised.value.field == "token"


async def _again(rig: Rig, task: UUID) -> bool:
    seen = await rig.task(task)
    return (seen.attempt, seen.status) == (1, "error")
