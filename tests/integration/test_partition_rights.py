"""Who begins first, and who has a right to a slot: between tasks, between sessions, between partitions."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest

from services.scheduler.dispatch.pace import Pace
from shared.contracts import ids
from tests.support.compute_rig import Rig, open_rig, spec
from tests.support.manual_worker import hand
from tests.support.partitions_rig import GATES, METERS, app, create, explain, get, measure, says, update
from tests.support.servers import Servers
from tests.support.wait import wait_until

WINDOW = Pace().window(2)
"""Tasks in the queue for two slots, while nobody knows how long they take."""


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as rig:
        yield rig


# -- who comes first


@pytest.mark.parametrize("by", ["task", "session"])
async def test_a_higher_priority_begins_first_though_it_came_last(rig: Rig, by: str) -> None:
    """What was in the queue already is ahead of it, and nothing else."""
    name, gate = await create(rig), str(uuid4())
    async with rig.worker(app, partition=name, slots=2):
        low = await rig.session(name, priority=1)
        high = low if by == "task" else await rig.session(name, priority=50)
        await rig.submit(low, [measure(name, "first", gate) for _ in range(2)])
        await wait_until(lambda: name in METERS and METERS[name].now == 2)
        await rig.submit(low, [measure(name, "low") for _ in range(60)])

        async def queued() -> bool:
            return (await get(rig, name)).outstanding == WINDOW

        await wait_until(queued, on_timeout=lambda: get(rig, name))
        options = {"priority": 50} if by == "task" else {}
        await rig.submit(high, [measure(name, "high", **options) for _ in range(10)])
        GATES[gate].set()
        for session in {low, high}:
            await rig.all_ended(session)
    began = METERS[name].began
    last = max(place for place, mark in enumerate(began) if mark == "high")
    assert began.index("high") <= WINDOW + 2
    assert last < WINDOW + 10 + 2, began


async def test_the_higher_partition_begins_first_though_it_came_last(rig: Rig) -> None:
    """On a worker that serves both. What counts is the partition's priority, not that of its tasks."""
    low, high, gate = await create(rig), await create(rig, priority=9), str(uuid4())
    async with rig.worker(app, partition=f"{low},{high}", slots=2):
        first, second = await rig.session(low, priority=99), await rig.session(high)
        await rig.submit(first, [measure(low, "first", gate) for _ in range(2)])
        await wait_until(lambda: low in METERS and METERS[low].now == 2)
        await rig.submit(first, [measure(low, "low") for _ in range(40)])

        async def queued() -> bool:
            return (await get(rig, low)).outstanding == WINDOW

        await wait_until(queued, on_timeout=lambda: get(rig, low))
        last = await rig.submit(second, [measure(low, "high") for _ in range(8)])

        async def chosen() -> bool:
            return (await get(rig, high)).outstanding == WINDOW

        await wait_until(chosen, on_timeout=lambda: get(rig, high))
        GATES[gate].set()
        await rig.until(ids.task_id(last, 7), "completed")
        await rig.all_ended(first)
    began = METERS[low].began
    assert began[:2] == ["first", "first"]
    assert max(place for place, mark in enumerate(began) if mark == "high") < 2 + 8 + WINDOW, began


async def test_explain_counts_who_is_ahead(rig: Rig) -> None:
    name = await create(rig, max=1)
    session = await rig.session(name)
    await rig.submit(session, [spec("task", options={"priority": 9}) for _ in range(4)])
    id = await rig.submit(session, [spec("task") for _ in range(2)])
    await wait_until(lambda: says(rig, ids.task_id(id, 1), "up to 3 tasks of higher priority than its 1"))
    assert await says(rig, ids.task_id(id, 1), "up to 2 tasks of its priority wait")
    assert await says(rig, ids.task_id(id, 1), f"partition {name!r} has no live worker")


async def test_ranks_tell_a_worker_which_partition_comes_first(rig: Rig) -> None:
    low, high = await create(rig), await create(rig, priority=9)
    async with hand(rig, low, high, slots=3) as worker:
        await wait_until(lambda: worker.ranks == {high: 0, low: 1}, on_timeout=lambda: worker.ranks)
        for name in (low, high):
            seen = await get(rig, name)
            assert (seen.workers, seen.slots) == (1, 3), "its slots count for each"
        await update(rig, low, priority=10)
        await wait_until(lambda: worker.ranks == {low: 0, high: 1}, on_timeout=lambda: worker.ranks)
        await rig.submit(await rig.session(low), [spec("task")])
        waits = await rig.submit(await rig.session(high), [spec("task")])

        async def received() -> bool:
            return await says(rig, ids.task_id(waits, 0), f"serve partition {low!r} first: its priority is 10")

        await wait_until(received)


# -- reserves


async def test_what_was_borrowed_is_taken_back_for_the_owner_of_the_reserve(rig: Rig) -> None:
    owner, other = await create(rig, reserve=1), await create(rig, priority=9)
    async with hand(rig, owner, other, slots=2) as worker:
        session = await rig.session(other, max_retries=0)
        await rig.submit(session, [spec("task") for _ in range(2)])
        first, second = await worker.take(other), await worker.take(other)
        for work in (first, second):
            await worker.start(work)
            await rig.until(work.id, "processing")
        assert worker.controls == [], "slots that nobody needs are everybody's"
        await rig.submit(await rig.session(owner), [spec("task") for _ in range(3)])
        await wait_until(lambda: worker.controls, on_timeout="nobody was preempted")
        await wait_until(lambda: worker.ranks == {owner: 0, other: 1}, on_timeout="not told before the slot is free")
        ((received, control),) = worker.controls
        assert (received, control.event, control.tasks) == (session, "preempted", [(second.id, 0)]), "the youngest"
        again = await rig.task(second.id)
        assert (again.attempt, again.status in ("pending", "submitted"), again.worker) == (1, True, "")
        assert rig.framed(session, "retried") == [second.id]
        assert await _history(rig, second.id) == [(0, worker.name, f"preempted for partition {owner}")]
        await wait_until(lambda: second.id in worker.stopped, on_timeout="an older worker is not told to stop it")

        await worker.complete(second)  # too late: it was preempted
        mine = await worker.take(owner)
        await worker.start(mine)
        await rig.until(mine.id, "processing")
        copy = await worker.take(other)
        assert (copy.id, copy.attempt) == (second.id, 1)
        assert (await rig.task(second.id)).status not in ("completed", "error"), "a late report changes nothing"
        await wait_until(lambda: worker.ranks == {other: 0, owner: 1}, on_timeout="its reserve is used")
        assert len(worker.controls) == 1, "no more than needed"
        await worker.complete(copy)
        await worker.complete(first)
        assert (await rig.all_ended(session)).completed == 2, "it lost no retry by it"


async def test_a_preempted_task_is_outstanding_until_its_worker_has_stopped_it(rig: Rig) -> None:
    owner, other = await create(rig, reserve=1), await create(rig, max=1)
    async with hand(rig, owner, other, slots=1) as worker:
        session = await rig.session(other)
        id = await rig.submit(session, [spec("task") for _ in range(2)])
        work = await worker.take(other)
        await worker.start(work)
        await rig.until(work.id, "processing")
        await rig.submit(await rig.session(owner), [spec("task")])
        await wait_until(lambda: worker.controls)
        mine = await worker.take(owner)
        assert (await get(rig, other)).outstanding == 1
        waits = await explain(rig, ids.task_id(id, 1))
        assert f"partition {other!r} has reached its max: 1 of 1 tasks" in waits.reasons
        assert any("first: it runs 0 tasks and has reserved 1 slots" in reason for reason in waits.reasons)
        worker.drop(work)
        assert (await worker.take(other)).id in (work.id, ids.task_id(id, 1)), "the next one is chosen only now"
        await worker.complete(mine)


async def test_a_worker_stops_what_was_preempted_and_serves_the_owner(rig: Rig) -> None:
    """The whole way, with the worker that ships. One slot is owed: one attempt is preempted, and no more."""
    owner, other, gate = await create(rig, reserve=1), await create(rig, priority=9), str(uuid4())
    async with rig.worker(app, partition=f"{owner},{other}", slots=2):
        borrower = await rig.session(other, max_retries=0)
        await rig.submit(borrower, [measure(other, "other", gate) for _ in range(2)])
        await wait_until(lambda: other in METERS and METERS[other].now == 2)
        session = await rig.session(owner)
        id = await rig.submit(session, [measure(other, n) for n in range(3)])
        for line in range(3):
            await rig.until(ids.task_id(id, line), "completed")
        await wait_until(lambda: METERS[other].began.count("other") == 3, on_timeout="the slot is not lent again")
        GATES[gate].set()
        assert (await rig.all_ended(borrower)).completed == 2
        assert len(rig.framed(borrower, "retried")) == 1
        assert rig.framed(session, "retried") == []


async def _history(rig: Rig, task: UUID) -> list[tuple[int, str, str]]:
    admin = await asyncpg.connect(rig.database.admin_url)
    try:
        rows = await admin.fetch("SELECT attempt, worker, error FROM scheduler.attempts WHERE task = $1", task)
        assert await admin.fetchval("SELECT count(*) FROM scheduler.running WHERE task = $1", task) == 0
    finally:
        await admin.close()
    return [tuple(row) for row in rows]
