"""A small session behind a large one, with tasks of 10 ms. Counted by who begins, which a busy machine does not change."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from services.scheduler.dispatch.pace import Pace
from shared.contracts import compute as c
from shared.contracts import ids
from shared.worker import App, Task
from tests.support.compute_rig import Rig, open_rig
from tests.support.partitions_rig import create
from tests.support.servers import Servers
from tests.support.wait import wait_until

LARGE, SMALL, SLOTS, NAP = 20_000, 200, 4, 0.01
SECOND = int(SLOTS / NAP)
"""Tasks that the worker's slots can end in one."""

app = App()
BEGAN: list[UUID] = []
"""The submissions of all tasks, in the order in which they began."""


@app.function
async def nap(task: Task) -> None:
    BEGAN.append(ids.submission_of(task.id))
    await asyncio.sleep(NAP)


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as rig:
        yield rig


async def behind(rig: Rig, priority: int) -> tuple[int, int]:
    """Tasks of a large session, of priority 1, that began before the first of a small one's, and between that and its last."""
    name = await create(rig)
    sessions = [await rig.session(name, function="nap", priority=one) for one in (1, priority)]
    large, small = ids.submission_id(), ids.submission_id()
    async with rig.worker(app, partition=name, slots=SLOTS):
        await rig.chunk(sessions[0], large, 0, 0, b"{}\n" * LARGE, last=True)
        await wait_until(lambda: BEGAN.count(large) > SECOND / 4, on_timeout=lambda: len(BEGAN))
        before = len(BEGAN)
        await rig.chunk(sessions[1], small, 0, 0, b"{}\n" * SMALL, last=True)
        await rig.all_ended(sessions[1])
        await rig.ask("session.cancel", c.SessionRef(sessions[0]), c.Session)
    began = BEGAN[before:]
    first, last = began.index(small), len(began) - began[::-1].index(small)
    return first, last - first - SMALL


async def test_a_small_session_has_its_share_at_once(rig: Rig) -> None:
    """Its first task within a second, its last within ten times what it needs alone, as far as that depends on others."""
    waited, between = await behind(rig, 1)
    assert waited < SECOND
    assert waited + SMALL + between < 10 * SMALL


async def test_a_higher_priority_has_all_there_is(rig: Rig) -> None:
    waited, between = await behind(rig, 50)
    assert waited < SECOND
    assert between < SMALL / 4


async def test_what_comes_at_once_does_not_count_on_the_same_room(rig: Rig) -> None:
    """Nothing ends here: what is beyond the window stays where it can be ordered, paused and shared."""
    session = await rig.session(await create(rig), function="nap")

    async def queued() -> int:
        return (await rig.counts(session)).queued

    await rig.submit(session, [c.TaskSpec()])
    await wait_until(queued)
    await asyncio.gather(*(rig.submit(session, [c.TaskSpec()] * 5) for _ in range(40)))
    window = Pace().window(0)
    assert await wait_until(queued) <= window


async def test_a_user_with_many_sessions_has_one_share(rig: Rig) -> None:
    """Three sessions of one user at the highest priority, and one of another at the lowest: both get the same."""
    name, tasks = await create(rig), 400
    many = [await rig.session(name, function="nap", priority=99) for _ in range(3)]
    one = await rig.session(name, user="bob", function="nap", priority=1)
    for session in many:
        await rig.submit(session, [c.TaskSpec()] * tasks)
    bobs = await rig.submit(one, [c.TaskSpec()] * tasks, user="bob")
    async with rig.worker(app, partition=name, slots=SLOTS):
        await wait_until(lambda: BEGAN.count(bobs) == tasks, on_timeout=lambda: BEGAN.count(bobs))
        last = len(BEGAN) - BEGAN[::-1].index(bobs)
        for session in many:
            await rig.ask("session.cancel", c.SessionRef(session), c.Session)
    began = BEGAN[BEGAN.index(bobs) : last]
    assert len(began) < 2.5 * tasks, "four shares would be 4"
