"""Partitions: made, changed, deleted; their limits, and what they have a right to."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from shared.bus import topology
from shared.contracts import compute as c
from shared.contracts import ids
from shared.contracts.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from shared.contracts.paging import Page
from shared.contracts.topology import TASKS, worker_consumer
from shared.worker import App, Task
from tests.integration.compute_rig import Rig, open_rig, scheduler, spec
from tests.integration.hand import hand
from tests.support.servers import Servers
from tests.support.wait import wait_until

app = App()
GATES: dict[str, asyncio.Event] = {}


class Meter:
    """How many run at once, and what began in which order."""

    def __init__(self) -> None:
        self.now, self.most, self.began = 0, 0, list[Any]()


METERS: dict[str, Meter] = {}


@app.function
async def measured(task: Task) -> None:
    """`[meter, mark, gate]`: notes that it runs; until the gate is open, or for an instant if there is none."""
    name, mark, gate = task.payload
    meter = METERS.setdefault(name, Meter())
    meter.began.append(mark)
    meter.now += 1
    meter.most = max(meter.most, meter.now)
    if gate:
        await GATES.setdefault(gate, asyncio.Event()).wait()
    else:
        await asyncio.sleep(0.002)
    meter.now -= 1


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as rig:
        yield rig


async def create(rig: Rig, name: str = "", **values: Any) -> str:
    name = name or f"p{uuid4().hex[:12]}"
    await rig.ask("partition.create", c.PartitionCreate(name, **values), c.Partition, user="admin")
    return name


async def update(rig: Rig, name: str, **values: Any) -> c.Partition:
    return await rig.ask("partition.update", c.PartitionUpdate(name, **values), c.Partition, user="admin")


async def delete(rig: Rig, name: str) -> c.Partition:
    return await rig.ask("partition.delete", c.PartitionRef(name), c.Partition, user="admin")


async def get(rig: Rig, name: str) -> c.Partition:
    return await rig.ask("partition.get", c.PartitionRef(name), c.Partition)


async def explain(rig: Rig, task: UUID) -> c.Explanation:
    return await rig.ask("task.explain", c.TaskRef(task), c.Explanation)


def measure(meter: str, mark: object = None, gate: str = "", **options: Any) -> c.TaskSpec:
    return spec("measured", [meter, mark, gate], options=options)


# -- made, changed, deleted


async def test_made_again_with_the_same_values_or_with_others(rig: Rig) -> None:
    name = await create(rig, priority=7, reserve=2, max=5)
    await create(rig, name, priority=7, reserve=2, max=5)
    with pytest.raises(AlreadyExists, match="priority 7, reserve 2 and max 5"):
        await create(rig, name, priority=7)
    made = await get(rig, name)
    assert (made.priority, made.reserve, made.max, made.workers) == (7, 2, 5, 0)
    with pytest.raises(Invalid) as refused:
        await create(rig, reserve=3, max=2)
    assert refused.value.field == "reserve"
    for action, asked in (
        ("create", c.PartitionCreate("mine")),
        ("update", c.PartitionUpdate(name, priority=1)),
        ("delete", c.PartitionRef(name)),
    ):
        with pytest.raises(Forbidden):
            await rig.ask(f"partition.{action}", asked, c.Partition, user="ann")


async def test_an_update_changes_what_it_names(rig: Rig) -> None:
    name = await create(rig, priority=7, reserve=2, max=5)
    assert (await update(rig, name, priority=9)).max == 5
    changed = await update(rig, name, max=None)
    assert (changed.priority, changed.reserve, changed.max) == (9, 2, None)
    assert (await get(rig, name)).max is None
    with pytest.raises(Invalid):
        await update(rig, name, max=1)
    assert (await update(rig, name, max=1, reserve=0)).max == 1
    with pytest.raises(NotFound):
        await update(rig, "nobody-made-it", priority=1)


async def test_partitions_are_listed_in_pages(rig: Rig) -> None:
    wanted = {await create(rig) for _ in range(3)}
    seen: list[str] = []
    token = ""
    while True:
        page = await rig.ask("partition.list", Page(2, token), c.PartitionPage)
        assert len(page.items) <= 2
        seen += [item.name for item in page.items]
        if not (token := page.next):
            break
    assert seen == sorted(set(seen))
    assert wanted < set(seen)


async def test_a_partition_in_use_is_not_deleted(rig: Rig) -> None:
    with pytest.raises(Conflict, match="default"):
        await delete(rig, "default")
    name = await create(rig)
    session = await rig.session(name)
    with pytest.raises(Conflict, match=str(session)):
        await delete(rig, name)
    async with hand(rig, name, slots=1) as worker:
        id = await rig.submit(session, [spec("task")])
        work = await worker.take(name)
        await worker.start(work)
        await rig.until(work.id, "processing")
        await rig.ask("session.close", c.SessionRef(session), c.Session)
        with pytest.raises(Conflict, match=str(work.id)):
            await delete(rig, name)
        await worker.complete(work)
        await rig.until(work.id, "completed")
        assert (await delete(rig, name)).name == name
    assert (await rig.task(ids.task_id(id, 0))).partition == name, "what ended there still says where"


async def test_a_deleted_partition_is_gone_and_can_be_made_anew(rig: Rig) -> None:
    name = await create(rig, priority=3)
    asked = f"CONSUMER.INFO.{TASKS.name}.{worker_consumer(name).name}"
    assert "error" not in await topology.api(rig.bus, asked)
    await delete(rig, name)
    assert "error" in await topology.api(rig.bus, asked)
    with pytest.raises(NotFound, match=name):
        await get(rig, name)
    with pytest.raises(NotFound, match=name):
        await rig.session(name)
    with pytest.raises(NotFound):
        await delete(rig, name)
    await create(rig, name, priority=4)
    assert (await get(rig, name)).priority == 4
    async with rig.worker(app, partition=name):
        session = await rig.session(name)
        await rig.submit(session, [measure(name)])
        assert (await rig.all_ended(session)).completed == 1


async def test_every_scheduler_learns_of_it(rig: Rig) -> None:
    """Two answer in turn: whoever is asked, the same is known within two seconds."""
    name = await create(rig)
    async with scheduler(rig.servers, rig.database, rig.storage):

        async def all_say(max: int | None) -> bool:
            return all([(await get(rig, name)).max == max for _ in range(12)])

        await update(rig, name, max=4)
        await wait_until(lambda: all_say(4), timeout=5, on_timeout="an old value is still told")
        await delete(rig, name)

        async def all_gone() -> bool:
            for _ in range(12):
                try:
                    await get(rig, name)
                except NotFound:
                    continue
                return False
            return True

        await wait_until(all_gone, timeout=5, on_timeout="somebody still knows it")
        for _ in range(6):
            with pytest.raises(NotFound, match=name):
                await rig.session(name)


# -- the most that may run


async def test_no_more_run_at_once_than_the_max(rig: Rig) -> None:
    """Under load, with workers that could run four times as many, and chains whose hops the completers would publish."""
    name = await create(rig, max=4)
    async with rig.worker(app, partition=name, slots=8), rig.worker(app, partition=name, slots=8):
        sessions = [await rig.session(name) for _ in range(2)]
        for session in sessions:
            await rig.submit(session, [measure(name) for _ in range(300)])
            chain = [spec("measured", [name, None, ""], inputs=[f"@{n - 8}"] if n >= 8 else []) for n in range(80)]
            await rig.submit(session, chain)
        most = 0

        async def ended() -> bool:
            nonlocal most
            most = max(most, (await get(rig, name)).outstanding)
            counts = [await rig.counts(session) for session in sessions]
            return all(n.total and n.completed == n.total for n in counts)

        await wait_until(ended, timeout=60, on_timeout=lambda: get(rig, name))
    assert len(METERS[name].began) == 2 * 380
    assert METERS[name].most == 4, "and no fewer, as there was always work"
    assert most <= 4


async def test_a_max_that_is_lowered_takes_back_the_queue(rig: Rig) -> None:
    name = await create(rig)
    async with hand(rig, name, slots=2) as worker:
        session = await rig.session(name)
        id = await rig.submit(session, [spec("task") for _ in range(20)])
        running = [await worker.take(name) for _ in range(2)]
        for work in running:
            await worker.start(work)
            await rig.until(work.id, "processing")
        assert (await get(rig, name)).outstanding > 2
        await update(rig, name, max=1)

        async def taken_back() -> bool:
            return (await get(rig, name)).outstanding == 2

        await wait_until(taken_back, on_timeout=lambda: get(rig, name))
        await worker.complete(running[0])
        await rig.until(running[0].id, "completed")
        last = await explain(rig, ids.task_id(id, 19))
        assert f"partition {name!r} has reached its max: 1 of 1 tasks" in last.reasons
        assert last.since is not None
        await worker.complete(running[1])
        await worker.complete(await worker.take(name))
        await update(rig, name, max=0)
        await wait_until(lambda: _says(rig, ids.task_id(id, 19), "is 0: nothing new begins"))
        await update(rig, name, max=None)
        await wait_until(lambda: _moved(rig, name, 3))


async def _says(rig: Rig, task: UUID, words: str) -> bool:
    return any(words in reason for reason in (await explain(rig, task)).reasons)


async def _moved(rig: Rig, name: str, more: int) -> bool:
    return (await get(rig, name)).outstanding > more


# -- who comes first


@pytest.mark.parametrize("by", ["task", "session"])
async def test_a_higher_priority_begins_first_though_it_came_last(rig: Rig, by: str) -> None:
    """What was in the queue already, 4 tasks a slot, is ahead of it, and nothing else."""
    name, gate = await create(rig), str(uuid4())
    async with rig.worker(app, partition=name, slots=2):
        low = await rig.session(name, priority=1)
        high = low if by == "task" else await rig.session(name, priority=50)
        await rig.submit(low, [measure(name, "first", gate) for _ in range(2)])
        await wait_until(lambda: name in METERS and METERS[name].now == 2)
        await rig.submit(low, [measure(name, "low") for _ in range(60)])

        async def queued() -> bool:
            return (await get(rig, name)).outstanding == 8

        await wait_until(queued, on_timeout=lambda: get(rig, name))
        options = {"priority": 50} if by == "task" else {}
        await rig.submit(high, [measure(name, "high", **options) for _ in range(10)])
        GATES[gate].set()
        for session in {low, high}:
            await rig.all_ended(session)
    began = METERS[name].began
    last = max(place for place, mark in enumerate(began) if mark == "high")
    assert began.index("high") <= 8 + 2
    assert last < 8 + 10 + 2, began


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

        async def told() -> bool:
            return await _says(rig, ids.task_id(waits, 0), f"serve partition {low!r} first: its priority is 10")

        await wait_until(told)


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
        assert worker.ranks == {owner: 0, other: 1}, "told before the slot is free"
        ((told, control),) = worker.controls
        assert (told, control.event, control.tasks) == (session, "preempted", [(second.id, 0)]), "the youngest"
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


async def _history(rig: Rig, task: UUID) -> list[tuple[int, str, str]]:
    admin = await asyncpg.connect(rig.database.admin_url)
    try:
        rows = await admin.fetch("SELECT attempt, worker, error FROM scheduler.attempts WHERE task = $1", task)
        assert await admin.fetchval("SELECT count(*) FROM scheduler.running WHERE task = $1", task) == 0
    finally:
        await admin.close()
    return [tuple(row) for row in rows]
