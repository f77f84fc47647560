"""Whatever the graph, the order, the repeats and the failures: every task ends exactly once and none is left waiting."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.scheduler.compute.completion import store as completion
from services.scheduler.compute.completion.store import ABORTED, CHOSEN, ENDED, FAILED
from services.scheduler.compute.results import store as result_store
from services.scheduler.dispatch.ready import ReadyTasks
from services.scheduler.pools import LEAN
from services.scheduler.schema import SCHEMA
from shared.contracts import ids
from shared.contracts.states import ResultStatus, TaskStatus
from shared.contracts.work import Completed
from shared.db.migrate import migrate
from shared.db.pool import RETRYABLE, open_pool
from shared.runtime.retry import Backoff, retry
from shared.service.schema import SCHEMA as OUTBOX
from tests.support.compute_rig import new_database
from tests.support.model import graphs
from tests.support.model.graphs import DONE, READY, Graph, Model, Shape, complete, fail, plant
from tests.support.servers import Servers


@pytest.fixture(scope="module")
async def pool(servers: Servers) -> AsyncIterator["asyncpg.Pool[Any]"]:
    async with (
        new_database(servers) as database,
        await open_pool(database.url("scheduler"), "scheduler", settings=LEAN) as pool,
    ):
        await migrate(pool, "scheduler", OUTBOX, SCHEMA)
        yield pool


@st.composite
def shapes(draw: st.DrawFn, outside: int) -> list[Shape]:
    """1 to 12 tasks with 0 to 2 outputs, each needing some of the earlier outputs and of the results from outside."""
    made: list[Shape] = []
    for _ in range(draw(st.integers(1, 12))):
        there = [(line, k) for line, shape in enumerate(made) for k in range(shape.outputs)]
        there += [(-1, n) for n in range(outside)]
        needs = draw(st.lists(st.sampled_from(there), max_size=4)) if there else []
        made.append(Shape(draw(st.integers(0, 2)), tuple(needs)))
    return made


class Watch:
    """What the statements said, each thing at most once."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.released: set[int] = set()
        self.failed: set[int] = set()
        self.aborted: set[UUID] = set()
        self.ended = 0

    def note(self, rows: list[Any]) -> tuple[set[int], set[int]]:
        """Which tasks these rows release for dispatch, and which they fail."""
        chosen = [self.graph.line(row["id"]) for row in rows if row["kind"] == CHOSEN]
        failed = [self.graph.line(row["id"]) for row in rows if row["kind"] == FAILED]
        aborted = [row["id"] for row in rows if row["kind"] == ABORTED]
        self.ended += sum(row["tasks"] for row in rows if row["kind"] == ENDED)
        for new, known in ((chosen, self.released), (failed, self.failed), (aborted, self.aborted)):
            assert len(set(new)) == len(new), "told twice in one answer"
            assert not known & set(new), "told in two answers"  # type: ignore[operator]
            known.update(new)  # type: ignore[arg-type]
        return set(chosen), set(failed)


async def in_ready(pool: "asyncpg.Pool[Any]", graph: Graph) -> set[int]:
    rows = await pool.fetch("SELECT task FROM ready WHERE session = $1", graph.session)
    return {graph.line(row["task"]) for row in rows}


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_any_order_of_ends_repeats_and_failures(pool: "asyncpg.Pool[Any]", data: st.DataObject) -> None:
    outside = data.draw(st.integers(0, 2))
    graph = await plant(pool, data.draw(shapes(outside)), outside)
    model, watch = Model(graph), Watch(graph)
    missing = list(range(outside))
    waiting: set[int] = set()  # released without credit: they lie in `ready`
    every = range(len(graph.shapes))
    while model.ready() or missing:
        steps = ["complete", "complete", "fail"] * bool(model.ready()) + ["give"] * bool(missing)
        step = data.draw(st.sampled_from(steps))
        credit = data.draw(st.sampled_from([0, 1, 100]))
        freed: set[int] = set()
        if step == "complete":
            # Some that may end, some that may not yet or any more, repeats, and attempts that are not the current one.
            lines = data.draw(st.lists(st.sampled_from(model.ready()), min_size=1, max_size=5))
            strays = data.draw(st.lists(st.sampled_from(every), max_size=3))
            stale = [graph.completed(line, 1) for line in data.draw(st.lists(st.sampled_from(every), max_size=1))]
            stale = [report for report in stale if graph.line(report.task) not in lines]
            ended, freed = model.complete([line for line in lines + strays if not _is_in(stale, graph, line)])
            reports = [graph.completed(line) for line in lines + strays] + stale
            before = watch.ended
            chosen, failed = watch.note(await complete(pool, reports, credit))
            assert watch.ended - before == len(ended)
            assert not failed
            waiting -= ended
        elif step == "fail":
            line = data.draw(st.sampled_from(model.ready()))
            chosen, failed = watch.note(await fail(pool, [graph.task(line)]))
            assert failed == model.fail(line)
            assert not watch.note(await fail(pool, [graph.task(line)]))[1], "failed twice"
            waiting -= failed
        else:
            n = missing.pop(data.draw(st.integers(0, len(missing) - 1)))
            assert await result_store.complete(pool, graph.outside[n], size=1, data=b"1", object=None, checksum=None)
            freed = model.meet({(-1, n)})
            chosen, _ = watch.note(await completion.count_down(pool, [graph.outside[n]], ([1], [credit])))
        assert len(chosen) == min(credit, len(freed))
        assert chosen <= freed
        waiting |= freed - chosen
        # One that ends while it waits for its turn (a copy of it ran) may lie there until its turn comes.
        done = {line for line in every if model.state[line] == DONE}
        assert await in_ready(pool, graph) - done == waiting
    await _all_as_modelled(pool, graph, model, watch)
    assert not await ReadyTasks(pool).take_released(1, 1, graph.session, 100), "nobody is dispatched after the end"
    assert not await in_ready(pool, graph)


def _is_in(stale: list[Completed], graph: Graph, line: int) -> bool:
    """A batch keeps the report of the latest attempt: a stray of a line that has a later one is not sent."""
    return any(graph.line(report.task) == line for report in stale)


async def _all_as_modelled(pool: "asyncpg.Pool[Any]", graph: Graph, model: Model, watch: Watch) -> None:
    ends = {DONE: TaskStatus.COMPLETED, graphs.FAILED: TaskStatus.ERROR}
    rows = await pool.fetch("SELECT id, status, remaining FROM tasks WHERE session = $1 ORDER BY id", graph.session)
    assert [row["status"] for row in rows] == [ends[state] for state in model.state]
    assert all(row["remaining"] == 0 for row in rows if row["status"] == TaskStatus.COMPLETED)
    assert watch.ended == model.state.count(DONE)
    assert watch.failed == {line for line, state in enumerate(model.state) if state == graphs.FAILED}
    found = {r["id"]: r["status"] for r in await pool.fetch("SELECT * FROM results WHERE session = $1", graph.session)}
    for line, state in enumerate(model.state):
        for result in graph.outputs(line):
            assert found[result] == (ResultStatus.COMPLETED if state == DONE else ResultStatus.ABORTED)
    assert watch.aborted == {result for line in watch.failed for result in graph.outputs(line)}
    assert (
        await pool.fetchval(
            "SELECT count(*) FROM running r JOIN tasks t ON t.id = r.task AND t.session = $1", graph.session
        )
        == 0
    )


# -- several at once


async def again(call: Any) -> Any:
    """As the completer does: what was rolled back for a deadlock runs again."""
    return await retry(call, on=RETRYABLE, backoff=Backoff(first=0.005, ceiling=0.05))


@pytest.mark.parametrize("seed", range(8))
async def test_completers_racing_on_joins_release_each_join_once(pool: "asyncpg.Pool[Any]", seed: int) -> None:
    chance = random.Random(seed)
    width = 24
    joins = [tuple((n, 0) for n in sorted(chance.sample(range(width), 8))) for _ in range(width)]
    graph = await plant(pool, [Shape(1, ())] * width + [Shape(1, needs) for needs in joins], 0)
    lines = list(range(width))
    chance.shuffle(lines)
    # Four completers; neighbours overlap, so that the same reports race too.
    parts = [lines[n * 6 : n * 6 + 9] for n in range(4)]

    async def completer(part: list[int]) -> list[Any]:
        rows = []
        for start in range(0, len(part), 3):
            reports = [graph.completed(line) for line in part[start : start + 3]]
            rows += await again(lambda reports=reports: complete(pool, reports, 100))
        return rows

    rows = [row for found in await asyncio.gather(*map(completer, parts)) for row in found]
    chosen = Counter(graph.line(row["id"]) for row in rows if row["kind"] == CHOSEN)
    assert chosen == dict.fromkeys(range(width, 2 * width), 1)
    assert sum(row["tasks"] for row in rows if row["kind"] == ENDED) == width


@pytest.mark.parametrize("seed", range(8))
async def test_a_failure_racing_with_completions_strands_nobody(pool: "asyncpg.Pool[Any]", seed: int) -> None:
    chance = random.Random(seed)
    width = 12
    needs = [tuple((n, 0) for n in sorted(chance.sample(range(width), 5))) for _ in range(width)]
    last = tuple((width + n, 0) for n in range(width))
    graph = await plant(pool, [Shape(1, ())] * width + [Shape(1, each) for each in needs] + [Shape(1, last)], 0)
    model = Model(graph)
    bad = set(chance.sample(range(width), 2))
    good = [line for line in range(width) if line not in bad]
    calls = [
        *(again(lambda line=line: complete(pool, [graph.completed(line)], 100)) for line in good),
        *(again(lambda line=line: fail(pool, [graph.task(line)])) for line in bad),
        again(lambda: fail(pool, [graph.task(line) for line in bad])),
    ]
    chance.shuffle(calls)
    watch = Watch(graph)
    for rows in await asyncio.gather(*calls):
        watch.note(rows)
    model.complete(good)
    for line in bad:
        model.fail(line)
    while ready := model.ready():
        ended, _ = model.complete(ready)
        watch.note(await complete(pool, [graph.completed(line) for line in ended], 100))
    assert READY not in model.state
    await _all_as_modelled(pool, graph, model, watch)


# -- ids


@given(line=st.integers(0, ids.MAX_TASKS - 2), output=st.integers(0, ids.MAX_OUTPUTS - 1))
def test_ids_keep_their_submission_line_and_order(line: int, output: int) -> None:
    submission = ids.submission_id()
    task, result = ids.task_id(submission, line), ids.result_id(submission, line, output)
    assert ids.submission_of(task) == ids.submission_of(result) == submission
    assert ids.line_of(task) == line
    assert submission <= task < result
    if output + 1 < ids.MAX_OUTPUTS:
        assert result < ids.result_id(submission, line, output + 1) < ids.result_id(submission, line + 1, 0)
