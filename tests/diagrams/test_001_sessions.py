"""Diagrams 001, Create, Cancel, Pause, Resume, Close Session and Stop submission: client, control plane, its tables, the queue.

Rows are held while the control plane is about to change them, so that what it did before can be seen, and that nothing is done yet
that comes later.

Other than drawn, and why: docs/adr/0017-compute-diagrams.md. A change of state is the session's row first, in a transaction of its own;
what it entails for tasks and results follows in others, slice by slice. A pause takes the queue back, and PAUSED is seen, not
written; a resume writes the session's row, and tasks have their turn again. A close cancels what waits as well.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from shared.contracts.states import ResultStatus, SessionStatus, TaskStatus
from tests.support.observed import World, observed
from tests.support.sessions import COMPUTE, task

RESULT = "SELECT 1 FROM scheduler.results WHERE id = $1 FOR UPDATE"
TASKS = "SELECT 1 FROM scheduler.tasks WHERE id = ANY($1::uuid[]) FOR UPDATE"


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with observed(workers=1) as world:
        yield world


async def in_rows(world: World, tasks: Sequence[str]) -> list[int]:
    """The states that the tasks' rows have."""
    found = await world.rows("SELECT status FROM scheduler.tasks WHERE id = ANY($1::uuid[]) ORDER BY id", tasks)
    return [row["status"] for row in found]


async def results(world: World, session: str) -> list[int]:
    found = await world.rows("SELECT status FROM scheduler.results WHERE session = $1 ORDER BY id", UUID(session))
    return [row["status"] for row in found]


async def session_row(world: World, session: str) -> tuple[int, bool, bool]:
    """Its state, and whether clients and workers may submit."""
    row = await world.row("SELECT * FROM scheduler.sessions WHERE id = $1", UUID(session))
    return row["status"], row["client_submission"], row["worker_submission"]


async def test_create_session(world: World) -> None:
    # 1  C → CP: Create Session
    body = {"name": "drawn", "partitions": ["default"], "options": {"priority": 70}}
    answer = await world.edge.ask("POST", f"{COMPUTE}/sessions", json=body)
    await world.arrows.next("hr.rpc.scheduler.session.create", name="drawn")
    received = answer.json()

    # 2  CP → P: Check partitions given to the session exist
    known = {row["name"] for row in await world.rows("SELECT name FROM scheduler.partitions")}
    assert set(received["partitions"]) <= known
    refused = await world.edge.ask("POST", f"{COMPUTE}/sessions", json={**body, "partitions": ["default", "nowhere"]})
    assert (refused.status_code, refused.json()["field"]) == (404, "partitions[1]")

    # 3  CP → S: Insert new sessions in database
    row = await world.row("SELECT * FROM scheduler.sessions WHERE name = 'drawn'")
    assert (str(row["id"]), row["status"], row["owner"], row["partitions"]) == (
        received["id"], SessionStatus.RUNNING, "admin", ["default"]
    )  # fmt: skip
    await world.arrows.next(f"hr.evt.session.created.{received['id']}", status="running")

    # 4  CP → C: Created session's metadata
    assert (answer.status_code, received["status"], received["options"]["priority"]) == (201, "running", 70)


async def test_cancel_session(world: World, tmp_path: Path) -> None:
    arrows, sessions = world.arrows, world.sessions
    session = await sessions.open()
    (gate,) = await sessions.results(session, "gate")
    tasks = await sessions.submit(
        session, task("hold", str(tmp_path / "never")), task("add", {"n": 1}), task("add", {"n": 2}, gate)
    )
    await sessions.until(tasks, "processing", "submitted", "pending")
    async with asyncio.TaskGroup() as group, world.held(RESULT, UUID(gate)):
        # 1  C → CP: Cancel session
        answered = group.create_task(sessions.lead(session, "cancel"))
        await arrows.next("hr.rpc.scheduler.session.cancel", session=session)

        # 4  CP → S: Set session status to Cancelled: first here, so that nothing more is chosen
        await world.waited_for()
        assert await session_row(world, session) == (SessionStatus.CANCELLED, False, False)

        # 2  CP → T: Set status of tasks …: what runs is CANCELLING, before its worker is told to stop it (not drawn)
        frame = await arrows.next(f"hr.evt.task.changed.{session}", cancelling=tasks[:1])
        assert len(frame["aborted"]) == 1
        await arrows.next(f"hr.ctl.session.{session}", event="cancelled")
        assert await world.queued(session) == 0
        assert (await in_rows(world, tasks))[1:] == [TaskStatus.PENDING] * 2
        assert sorted(await results(world, session)) == [*[ResultStatus.CREATED] * 3, ResultStatus.ABORTED]

    # 2  CP → T: Set status of tasks related to the session to Cancelled
    # 3  CP → R: Set status of results related to the session to Aborted
    await arrows.next(f"hr.evt.task.changed.{session}", aborted=[gate])
    frame = await arrows.next(f"hr.evt.task.changed.{session}", cancelled=tasks[1:])
    assert len(frame["aborted"]) == 2
    await arrows.next(f"hr.evt.session.cancelled.{session}", status="cancelled")
    assert await results(world, session) == [ResultStatus.ABORTED] * 4

    # 5  CP → C: Updated session metadata
    received = answered.result()
    assert (received["status"], received["client_submission"], received["cancelled_at"] is None) == (
        "cancelled",
        False,
        False,
    )
    await sessions.until(tasks, "cancelled", "cancelled", "cancelled")
    assert await in_rows(world, tasks) == [TaskStatus.CANCELLED] * 3


async def test_pause_session(world: World, tmp_path: Path) -> None:
    arrows, sessions = world.arrows, world.sessions
    session = await sessions.open(await sessions.partition("drawn-pause"))
    await world.system.start_worker("worker-pause", app="tests.support.functions:app", slots=1, partition="drawn-pause")
    tasks = await sessions.submit(
        session, task("hold", str(tmp_path / "go")), *(task("add", {"n": 1}) for _ in range(7))
    )
    await sessions.until(tasks[:1], "processing")
    # Who dispatches must begin anew, and so asks the worker what it holds: that is DISPATCHED from then on.
    await world.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
        "AND pid IN (SELECT pid FROM pg_stat_activity WHERE usename = 'headrace_scheduler')"
    )

    async def dispatched() -> list[str]:
        seen = await sessions.statuses(tasks)
        return (
            [one for one, status in zip(tasks, seen, strict=True) if status == "dispatched"]
            if ({"dispatched", "submitted"} <= set(seen))
            else []
        )

    held = await world.system.wait_until(dispatched, on_timeout=lambda: sessions.statuses(tasks))
    await world.system.wait_until(lambda: world.queued(session))
    async with asyncio.TaskGroup() as group, world.held(TASKS, held):
        # 1  C → CP: Pause session
        answered = group.create_task(sessions.lead(session, "pause"))
        await arrows.next("hr.rpc.scheduler.session.pause", session=session)

        # 2  CP → S: Set session status to Paused
        await world.waited_for()
        assert await session_row(world, session) == (SessionStatus.PAUSED, True, True)
        assert set(await in_rows(world, held)) == {TaskStatus.DISPATCHED}

        # not drawn: the queue is emptied, and workers are told to let go of what they have not begun
        await arrows.next(f"hr.ctl.session.{session}", event="paused")
        assert await world.queued(session) == 0

    # 3  CP → T: Set status of Submitted or Dispatched tasks related to the session to Paused: seen so, and PENDING in the rows
    await arrows.next(f"hr.evt.session.paused.{session}", status="paused")
    assert await sessions.statuses(tasks) == ["processing", *["paused"] * 7]
    assert await in_rows(world, tasks) == [TaskStatus.PROCESSING, *[TaskStatus.PENDING] * 7]

    # 4  CP → C: Updated session metadata
    assert answered.result()["status"] == "paused"

    # What runs finishes; nothing else begins.
    (tmp_path / "go").touch()
    await sessions.until(tasks, "completed", *["paused"] * 7)
    assert await world.queued(session) == 0


async def test_resume_session(world: World) -> None:
    arrows, sessions = world.arrows, world.sessions
    session = await sessions.open(await sessions.partition("drawn-resume"))  # no worker: what is queued stays there
    tasks = await sessions.submit(session, *(task("add", {"n": n}) for n in range(12)))
    await world.system.wait_until(lambda: arrows.any(f"hr.task.drawn-resume.*.{session}"))
    await sessions.lead(session, "pause")
    assert await sessions.statuses(tasks) == ["paused"] * 12
    paused = await world.row("SELECT epoch FROM scheduler.sessions WHERE id = $1", UUID(session))
    lane = "SELECT 1 FROM scheduler.lanes WHERE submission = $1 FOR UPDATE"
    async with world.held(lane, UUID(tasks[0])):  # a submission has the id of its first line
        # 1  C → CP: Resume session
        received = await sessions.lead(session, "resume")
        await arrows.next("hr.rpc.scheduler.session.resume", session=session)

        # 2  CP → S: Set session status to Running
        await arrows.next(f"hr.evt.session.resumed.{session}", status="running")
        assert await session_row(world, session) == (SessionStatus.RUNNING, True, True)

        # 5  CP → C: Updated session metadata: here the tasks have their turn after the answer
        assert received["status"] == "running"
        await world.waited_for()
        assert await sessions.statuses(tasks) == ["pending"] * 12
        assert await world.queued(session) == 0

    # 3  CP → T: Set status of Paused tasks to Submitted by batch;  4  CP → Q: Insert tasks into the queue by batch
    for one in tasks[:8]:  # as many as the window of a partition without workers holds, most urgent first
        batch = await arrows.next(f"hr.task.drawn-resume.*.{session}", epoch=paused["epoch"] + 1)
        assert [work["id"] for work in batch["tasks"]] == [one]
    assert await sessions.statuses(tasks) == [*["submitted"] * 8, *["pending"] * 4]
    assert await world.queued(session) == 8


async def test_close_session(world: World, tmp_path: Path) -> None:
    arrows, sessions = world.arrows, world.sessions
    session = await sessions.open()
    (gate,) = await sessions.results(session, "gate")
    tasks = await sessions.submit(session, task("hold", str(tmp_path / "go")), task("add", {"n": 2}, gate))
    await sessions.until(tasks, "processing", "pending")
    async with asyncio.TaskGroup() as group, world.held(RESULT, UUID(gate)):
        # 1  C → CP: Close session
        answered = group.create_task(sessions.lead(session, "close"))
        await arrows.next("hr.rpc.scheduler.session.close", session=session)

        # 2  CP → S: Set session status to Close
        await world.waited_for()
        assert await session_row(world, session) == (SessionStatus.CLOSED, False, False)
        assert await in_rows(world, tasks) == [TaskStatus.PROCESSING, TaskStatus.PENDING]

    # not drawn: what waits is cancelled, results that can have no value any more are aborted
    await arrows.next(f"hr.evt.task.changed.{session}", aborted=[gate])
    await arrows.next(f"hr.evt.task.changed.{session}", cancelled=tasks[1:])
    await arrows.next(f"hr.evt.session.closed.{session}", status="closed")

    # 3  CP → C: Updated session metadata
    assert answered.result()["status"] == "closed"
    assert await sessions.statuses(tasks) == ["processing", "cancelled"]
    (tmp_path / "go").touch()
    await sessions.until(tasks, "completed", "cancelled")


async def test_stop_submission(world: World) -> None:
    arrows, sessions = world.arrows, world.sessions
    session = await sessions.open()

    # 1  C → CP: Stop submission
    received = await sessions.post(f"/sessions/{session}/stop-submission", {"client": True})
    await arrows.next("hr.rpc.scheduler.session.stop", session=session, client=True)

    # 2  CP → S: Update session metadata
    assert await session_row(world, session) == (SessionStatus.RUNNING, False, True)
    await arrows.next(f"hr.evt.session.stopped.{session}", status="running")

    # 3  CP → C: Updated session metadata
    assert (received["status"], received["client_submission"], received["worker_submission"]) == (
        "running",
        False,
        True,
    )

    # It holds, and workers' follows; nothing opens it again.
    await sessions.post(f"/sessions/{session}/submissions", {"tasks": [task("add", {"n": 1})]}, 409)
    await sessions.post(f"/sessions/{session}/stop-submission", {"worker": True})
    await sessions.lead(session, "pause")
    await sessions.lead(session, "resume")
    assert await session_row(world, session) == (SessionStatus.RUNNING, False, False)
