"""The schedulers are killed in the middle of purges and deletes: at each step, and each ends all the same.

One kill strikes several sessions, each at another place: a step has done its work, and the transaction that would make it count has
not committed (`tests/support/stops.py`). The steps that were held go on after their leases.
"""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from shared.contracts.states import ResultStatus, SessionStatus
from tests.support.observed import World, watching
from tests.support.processes import Processes
from tests.support.sessions import COMPUTE, task

pytestmark = pytest.mark.chaos

PURGE = ("stop_tasks", "delete_objects", "delete_values", "mark_purged")
DELETE = ("cancel", "delete_objects", "drop_rows", "drop_session")
"""All but `stop_tasks`, which is the purge's; eight in all: a runner has no more slots."""
VALUE = b"v" * 65536
LIMIT = 60.0
"""Seconds; a killed step goes on after its lease (15 s) and a round of the sweeper (5 s)."""


@pytest.fixture
async def world(system: Processes) -> AsyncIterator[World]:
    async with watching(system, "hr.evt.>") as world:
        yield world


async def filled(world: World) -> str:
    """A session with values in object storage, uploaded and made by a task, one in its row, and a task that waits."""
    session = await world.sessions.open()
    large, small, never = await world.sessions.results(session, "large", "small", "never")
    await world.sessions.give(large, VALUE)
    await world.sessions.give(small, b"s")
    done, _ = await world.sessions.submit(session, task("blob", len(VALUE), large), task("blob", 1, never))
    await world.sessions.until([done], "completed")
    assert len(await world.objects(f"results/{session}/")) == 2
    return session


async def left(world: World, session: str) -> dict[str, list[int]]:
    """The states of its rows."""
    found = {}
    for table, column in (("sessions", "id"), ("tasks", "session"), ("results", "session"), ("submissions", "session")):
        rows = await world.rows(f"SELECT status FROM scheduler.{table} WHERE {column} = $1", UUID(session))
        found[table] = [row["status"] for row in rows]
    return found


async def test_the_schedulers_are_killed_at_each_step_of_purges_and_deletes(world: World) -> None:
    system, stops, edge = world.system, world.stops, world.edge
    buried = await world.dead()  # by tests before this one
    purged = await asyncio.gather(*(filled(world) for _ in PURGE))
    deleted = await asyncio.gather(*(filled(world) for _ in DELETE))
    other = await filled(world)
    before = await left(world, other)
    places = [(f"purge.{step}", session) for step, session in zip(PURGE, purged, strict=True)]
    places += [(f"delete.{step}", session) for step, session in zip(DELETE, deleted, strict=True)]
    for session in purged:
        await world.sessions.lead(session, "close")
    for place, session in places:
        await stops.set(place, session)
    async with asyncio.TaskGroup() as group:
        # Clients wait for the answers meanwhile, and ask again when they are told that nobody is there.
        purges = [group.create_task(edge.ask("POST", f"{COMPUTE}/sessions/{one}/purge")) for one in purged]
        deletes = [group.create_task(edge.ask("DELETE", f"{COMPUTE}/sessions/{one}")) for one in deleted]
        for place, session in places:
            await stops.reached(place, session)
        await stops.killed("scheduler", "scheduler-2")
        for name in ("scheduler", "scheduler-2"):
            await system.restart(name)
    assert {answer.result().status_code for answer in purges} <= {200, 202}
    assert {answer.result().status_code for answer in deletes} <= {
        200,
        202,
        404,
    }  # who asks again may be told: not found

    async def over() -> bool:
        states = [(await left(world, session))["sessions"] for session in purged]
        gone = [(await left(world, session))["sessions"] for session in deleted]
        return states == [[SessionStatus.PURGED]] * len(purged) and gone == [[]] * len(deleted)

    await system.wait_until(over, timeout=LIMIT, every=0.2)
    for session in deleted:
        assert not any((await left(world, session)).values())
    for session in purged:
        found = await left(world, session)
        assert found["results"] == [ResultStatus.DELETED] * 5
        assert len(found["tasks"]) == 2
        row = await world.row("SELECT operation FROM scheduler.sessions WHERE id = $1", UUID(session))
        assert row["operation"] is None
    for session in (*purged, *deleted):
        assert await world.objects(f"results/{session}/") == {}
    assert (await left(world, other), len(await world.objects(f"results/{other}/"))) == (before, 2)
    for session, event in [(one, "purged") for one in purged] + [(one, "deleted") for one in deleted]:
        assert len(world.arrows.all(f"hr.evt.session.{event}.{session}")) == 1
    assert await world.dead() == buried
