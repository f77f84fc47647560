"""Diagrams 001, Purge and Delete Session: client, control plane, sessions, tasks, results, object storage.

The chains are held at the commit of each step, so that what a step did, and what has not been done yet, can be seen.

Other than drawn, and why: docs/adr/0017-compute-diagrams.md. Purge and delete are chains of steps, and the answer comes when the chain
has ended. Objects are found by the session's prefix in place of its results. A delete cancels first, and deletes the objects
too, which the diagram leaves where they are.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from shared.contracts.states import ResultStatus, SessionStatus
from tests.support.observed import World, observed
from tests.support.sessions import COMPUTE, task

VALUE = b"v" * 65536
SESSION = "SELECT * FROM scheduler.sessions WHERE id = $1"
RESULTS = "SELECT * FROM scheduler.results WHERE session = $1 ORDER BY id"
TASKS = "SELECT * FROM scheduler.tasks WHERE session = $1 ORDER BY id"


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with observed(workers=1) as world:
        yield world


class Held:
    """A session with values in object storage and in rows, and the steps of the chain that removes it, each held."""

    def __init__(self, world: World, session: str, chain: str, steps: tuple[str, ...]) -> None:
        self.world, self.session, self._chain, self._steps = world, session, chain, steps
        self.prefix, self.operation = f"results/{session}/", ""

    @classmethod
    async def of(cls, world: World, chain: str, *steps: str) -> "Held":
        """Its results: one that was uploaded, an inline one, and the output of a task."""
        session = await world.sessions.open()
        large, small = await world.sessions.results(session, "large", "small")
        await world.sessions.give(large, VALUE)
        await world.sessions.give(small, b"s")
        done = await world.sessions.submit(session, task("blob", len(VALUE), large))
        await world.sessions.until(done, "completed")
        return cls(world, session, chain, steps)

    async def hold(self) -> None:
        for step in self._steps:
            await self.world.stops.set(f"{self._chain}.{step}", self.session)

    async def begun(self, *with_it: tuple[str, dict[str, Any]]) -> None:
        """The chain is there and its first step has done its work, and told this."""
        subject = f"hr.step.scheduler.{self._chain}.{self._steps[0]}"
        started, due, *_ = await self.world.arrows.together(
            ("hr.evt.chain.started.*", {"kind": self._chain}), (subject, {}), *with_it
        )
        row = await self.world.row(SESSION, UUID(self.session))
        self.operation = str(row["operation"])
        assert started["chain"] == due["chain"] == self.operation
        await self.world.stops.reached(f"{self._chain}.{self._steps[0]}", self.session)

    async def next(self, number: int) -> None:
        """Lets the step before count, and waits until this one has done its work."""
        await self.world.stops.release(f"{self._chain}.{self._steps[number - 1]}", self.session)
        subject = f"hr.step.scheduler.{self._chain}.{self._steps[number]}"
        await self.world.arrows.next(subject, chain=self.operation)
        await self.world.stops.reached(f"{self._chain}.{self._steps[number]}", self.session)

    async def rows(self, query: str) -> list[dict[str, Any]]:
        return await self.world.rows(query, UUID(self.session))

    async def states(self) -> tuple[int, list[int]]:
        """The session's, its results'."""
        (session,) = await self.rows(SESSION)
        return session["status"], [row["status"] for row in await self.rows(RESULTS)]

    def told_deleted(self) -> set[str]:
        """Its results that events called deleted."""
        frames = self.world.arrows.all(f"hr.evt.task.changed.{self.session}")
        return {result for frame in frames for result in frame.get("deleted", ())}

    async def stored(self) -> list[int]:
        """The sizes of its objects."""
        return sorted(map(len, (await self.world.objects(self.prefix)).values()))


async def test_purge_session(world: World) -> None:
    arrows, sessions = world.arrows, world.sessions
    held = await Held.of(world, "purge", "stop_tasks", "delete_objects", "delete_values", "mark_purged")
    values = [ResultStatus.COMPLETED] * 3
    assert await held.stored() == [len(VALUE)] * 2

    # What `Get session metadata` is for: a session that runs is not purged.
    refused = await world.edge.ask("POST", f"{COMPUTE}/sessions/{held.session}/purge")
    assert (refused.status_code, await held.states()) == (409, (SessionStatus.RUNNING, values))
    await arrows.next("hr.rpc.scheduler.session.purge", session=held.session)
    assert await held.stored() == [len(VALUE)] * 2

    await sessions.lead(held.session, "close")
    await held.hold()
    async with asyncio.TaskGroup() as group:
        # 1  C → CP: Purge session;  2  CP → S: Get session metadata
        answered = group.create_task(sessions.lead(held.session, "purge"))
        await arrows.next("hr.rpc.scheduler.session.purge", session=held.session)

        # 3  CP → R: Get results related to the session: here the prefix names them; no worker may add one now
        await held.begun()
        assert (await held.states(), await held.stored()) == ((SessionStatus.CLOSED, values), [len(VALUE)] * 2)

        # 4  CP → O: Delete results
        await held.next(1)
        assert (await held.states(), await held.stored()) == ((SessionStatus.CLOSED, values), [])

        # 5  CP → R: Set results status to Deleted
        await held.next(2)
        made = {str(row["id"]) for row in await held.rows(RESULTS)}
        await world.system.wait_until(lambda: held.told_deleted() == made)
        assert await held.states() == (SessionStatus.CLOSED, [ResultStatus.DELETED] * 3)
        assert [(row["data"], row["object"]) for row in await held.rows(RESULTS)] == [(None, None)] * 3

        # 6  CP → S: Update session status to Purged
        await held.next(3)
        assert await held.states() == (SessionStatus.CLOSED, [ResultStatus.DELETED] * 3)
        assert not answered.done()
        await world.stops.release("purge.mark_purged", held.session)
        await arrows.together(
            (f"hr.evt.session.purged.{held.session}", {"status": "purged"}),
            (f"hr.evt.chain.done.{held.operation}", {"kind": "purge"}),
        )
        assert await held.states() == (SessionStatus.PURGED, [ResultStatus.DELETED] * 3)

    # 7  CP → C: Updated session metadata
    received = answered.result()
    assert (received["status"], received["operation"], received["purged_at"] is None) == ("purged", "", False)
    assert len(await held.rows(TASKS)) == 1  # the metadata stay


async def test_delete_session(world: World) -> None:
    arrows, sessions = world.arrows, world.sessions
    held = await Held.of(world, "delete", "cancel", "stop_tasks", "delete_objects", "drop_rows", "drop_session")
    kept = await Held.of(world, "delete")  # somebody else's
    (output,) = [row["id"] for row in await held.rows(RESULTS) if not row["standalone"]]
    (waiting,) = await sessions.results(held.session, "waiting")
    await sessions.submit(held.session, task("add", {"n": 1}, waiting))
    await held.hold()
    async with asyncio.TaskGroup() as group:
        # 1  C → CP: Delete session;  2  CP → S: Get session metadata
        answered = group.create_task(world.edge.ask("DELETE", f"{COMPUTE}/sessions/{held.session}"))
        await arrows.next("hr.rpc.scheduler.session.delete", session=held.session)

        # not drawn: it is cancelled first, no worker is at it any more, and its objects are deleted
        await held.begun((f"hr.evt.session.cancelled.{held.session}", {"status": "cancelled"}))
        assert (await held.states())[0] == SessionStatus.CANCELLED
        await held.next(1)
        assert await held.stored() == [len(VALUE)] * 2
        await held.next(2)
        assert await held.stored() == []
        assert (len(await held.rows(TASKS)), len(await held.rows(RESULTS))) == (2, 5)

        async with world.held("SELECT 1 FROM scheduler.results WHERE id = $1 FOR UPDATE", output):
            # 3  CP → T: Delete tasks metadata related to the session
            await world.stops.release("delete.delete_objects", held.session)
            await world.waited_for()
            assert (len(await held.rows(TASKS)), len(await held.rows(RESULTS))) == (1, 5)

        # 4  CP → R: Delete results metadata related to the session
        await world.stops.reached("delete.drop_rows", held.session)
        assert (await held.rows(TASKS), await held.rows(RESULTS)) == ([], [])
        assert (await held.states())[0] == SessionStatus.CANCELLED

        # 5  CP → S: Delete session metadata
        await world.stops.release("delete.drop_rows", held.session)
        await world.stops.reached("delete.drop_session", held.session)
        assert not answered.done()
        await world.stops.release("delete.drop_session", held.session)
        await arrows.together(
            (f"hr.evt.session.deleted.{held.session}", {"status": "deleted"}),
            (f"hr.evt.chain.done.{held.operation}", {"kind": "delete"}),
        )
        assert await held.rows(SESSION) == []

    # 6  CP → C: Updated session metadata
    answer = answered.result()
    assert (answer.status_code, answer.json()["id"], answer.json()["status"]) == (200, held.session, "deleted")
    assert (await world.edge.ask("GET", f"{COMPUTE}/sessions/{held.session}")).status_code == 404
    assert (await kept.states(), await kept.stored()) == (
        (SessionStatus.RUNNING, [ResultStatus.COMPLETED] * 3), [len(VALUE)] * 2
    )  # fmt: skip
