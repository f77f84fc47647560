"""Partitions: made, changed, deleted; their limits, and what they have a right to."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from services.scheduler.dispatch.locks import try_lock
from shared.bus import topology
from shared.bus.many import ask_many
from shared.contracts import compute as c
from shared.contracts import ids
from shared.contracts.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from shared.contracts.paging import Page
from shared.contracts.topology import TASKS, worker_consumer
from tests.support.compute_rig import Rig, open_rig, scheduler, spec
from tests.support.manual_worker import hand
from tests.support.partitions_rig import METERS, app, create, delete, explain, get, measure, says, update
from tests.support.servers import Servers
from tests.support.wait import wait_until


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as rig:
        yield rig


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


async def test_what_another_scheduler_dispatches_keeps_none_from_the_others(rig: Rig) -> None:
    """The scheduler here has the first partition, another one in between; who takes what comes after that?"""
    between, other = f"p{uuid4().hex[:12]}", await asyncpg.connect(rig.database.url("scheduler"))
    try:
        assert await try_lock(other, between)
        await create(rig, between)
        session = await rig.session(await create(rig))
        await rig.submit(session, [spec()])
        await wait_until(lambda: chosen(rig, session))
    finally:
        await other.close()


async def chosen(rig: Rig, session: UUID) -> bool:
    return (await rig.counts(session)).queued == 1


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


async def test_every_scheduler_knows_of_it_at_once(rig: Rig) -> None:
    """Two answer in turn: whoever is asked, the same is told."""
    times = 12
    async with scheduler(rig.servers, rig.database, rig.storage):

        async def both() -> bool:
            async with ask_many(rig.bus, "$SRV.PING.scheduler", {}, dict[str, Any], within=1) as answers:
                return await answers.until(lambda found: len(found) == 2)

        await wait_until(both)
        for _ in range(times):
            name = await create(rig)
            assert (await get(rig, name)).name == name
            listed = await rig.ask("partition.list", Page(1000), c.PartitionPage)
            assert name in {item.name for item in listed.items}
            submission = await rig.submit(await rig.session(name), [spec()])
            assert "no live worker" in (await explain(rig, ids.task_id(submission, 0))).reasons[0]
        name = await create(rig)
        await update(rig, name, max=4)
        assert [(await get(rig, name)).max for _ in range(times)] == [4] * times
        await delete(rig, name)
        for _ in range(times):
            with pytest.raises(NotFound):
                await get(rig, name)
        for _ in range(6):
            with pytest.raises(NotFound, match=name):
                await rig.session(name)


# -- the most that may run


async def test_no_more_run_at_once_than_the_max(rig: Rig) -> None:
    """Under load, with workers that could run four times as many: tasks that are all ready, then layers that are released."""
    name = await create(rig, max=4)
    async with rig.worker(app, partition=name, slots=8), rig.worker(app, partition=name, slots=8):
        session = await rig.session(name)
        await rig.submit(session, [measure(name) for _ in range(200)])
        most = await _most_outstanding(rig, name, [session])
        assert METERS[name].most == 4, "and no fewer, as there was always work"
        # Six become ready at once, again and again, while others end: dispatcher and completer both find credit.
        layers = [spec("measured", [name, None, ""])] + [
            spec("measured", [name, None, ""], inputs=[f"@{n}" for n in (range(6 * k - 5, 6 * k + 1) if k else [0])])
            for k in range(12)
            for _ in range(6)
        ]
        sessions = [await rig.session(name) for _ in range(3)]
        for session in sessions:
            await rig.submit(session, layers)
        most = max(most, await _most_outstanding(rig, name, sessions))
    assert len(METERS[name].began) == 200 + 3 * 73
    assert METERS[name].most == 4
    assert most <= 4


async def _most_outstanding(rig: Rig, name: str, sessions: list[UUID]) -> int:
    """Until all of the sessions' tasks have completed."""
    most = 0

    async def ended() -> bool:
        nonlocal most
        most = max(most, (await get(rig, name)).outstanding)
        counts = [await rig.counts(session) for session in sessions]
        return all(n.total and n.completed == n.total for n in counts)

    await wait_until(ended, timeout=60, on_timeout=lambda: get(rig, name))
    return most


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
        await wait_until(lambda: says(rig, ids.task_id(id, 19), "is 0: nothing new begins"))
        await update(rig, name, max=None)
        await wait_until(lambda: _moved(rig, name, 2))


async def _moved(rig: Rig, name: str, more: int) -> bool:
    return (await get(rig, name)).outstanding > more
