"""What two changes do to each other that are under way at the same time. No worker is here: tasks end as the test says."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from services.scheduler.compute.sessions import cleanup_store
from services.scheduler.compute.sessions import store as sessions
from services.scheduler.compute.sessions.cleanup import Cleanup
from services.scheduler.compute.submissions import ending
from services.scheduler.compute.tasks.rerun import hold_needs, rerun
from shared.bus import topology
from shared.contracts import compute as c
from shared.contracts import ids, subjects
from shared.contracts.errors import Unavailable
from shared.contracts.topology import TASKS
from shared.contracts.work import Completed, Output, ReportBatch
from shared.db.pool import open_pool
from shared.objects.layout import result_key
from shared.service.unit import Unit
from tests.support.compute_rig import Rig, open_rig, spec
from tests.support.compute_sweep import sweep
from tests.support.servers import Servers
from tests.support.wait import wait_until


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as rig:
        yield rig


@pytest.fixture
async def pool(rig: Rig) -> AsyncIterator["asyncpg.Pool[Any]"]:
    async with await open_pool(rig.database.url("scheduler"), "scheduler") as pool:
        yield pool


async def waiting(pool: "asyncpg.Pool[Any]", n: int = 1, unless: "asyncio.Task[Any] | None" = None) -> None:
    """Until so many wait for a lock, or `unless` has ended."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

    async def there() -> bool:
        return (unless is not None and unless.done()) or await pool.fetchval(query) >= n

    await wait_until(there)


async def queued(rig: Rig, session: UUID, n: int) -> bool:
    """Whether so many messages of a session lie in the queue."""
    asked = {"subjects_filter": subjects.tasks_of_session(session)}
    info = await topology.api(rig.bus, f"STREAM.INFO.{TASKS.name}", asked)
    return sum(info["state"].get("subjects", {}).values()) == n


async def lead(rig: Rig, session: UUID, verb: str) -> c.Session:
    return await rig.ask(f"session.{verb}", c.SessionRef(session), c.Session)


async def cancelled(rig: Rig) -> tuple[UUID, UUID]:
    """A session with a submission whose only task was cancelled."""
    session = await rig.session()
    id = await rig.submit(session, [spec()])
    await rig.ask("task.cancel", c.TaskCancel(session, [ids.task_id(id, 0)]), c.TaskChanges)
    return session, id


async def test_a_cancel_that_overtakes_a_pause_stays_owed(rig: Rig, pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both were killed before what they entail; who is at the pause meanwhile does not take the cancel for done."""

    async def killed(self: Cleanup, session: Any) -> None:
        pass

    monkeypatch.setattr(Cleanup, "begin", killed)
    session = await rig.session()
    id = await rig.submit(session, [spec()])
    await lead(rig, session, "pause")
    other = sweep(rig, pool)
    async with pool.acquire() as db, db.transaction():
        await cleanup_store.lock_queue(db, session)
        pausing = asyncio.create_task(other.run_once())
        await waiting(pool)
        await lead(rig, session, "cancel")
    await pausing
    await other.run_once()
    assert await rig.status(ids.task_id(id, 0)) == "cancelled"


@pytest.mark.parametrize(("verb", "end"), [("close", "cancelled"), ("cancel", "cancelled")])
async def test_what_runs_again_is_seen_by_a_session_that_ends_meanwhile(
    rig: Rig, pool: Any, verb: str, end: str
) -> None:
    session, id = await cancelled(rig)
    task = ids.task_id(id, 0)
    async with pool.acquire() as db, db.transaction():
        await db.execute("SELECT 1 FROM tasks WHERE id = $1 FOR UPDATE", task)
        again = asyncio.create_task(rig.ask("task.rerun", c.TaskRerun(session, [task], ["cancelled"]), c.TaskChanges))
        await waiting(pool)
        ending = asyncio.create_task(lead(rig, session, verb))
        await waiting(pool, 2, unless=ending)
    assert (await again).changed == 1
    await ending
    assert await rig.status(task) == end


async def test_a_submission_is_not_settled_while_its_tasks_run_again(rig: Rig, pool: Any) -> None:
    """Nobody looks into one that has ended: what was chosen of it would be lost with the queue."""
    session, id = await cancelled(rig)
    async with pool.acquire() as db, db.transaction():
        assert await rerun(db, session, [ids.task_id(id, 0)], ([], []))
        await ending.unmark(db, [id])
        sweeping = asyncio.create_task(sweep(rig, pool).run_once())
        await waiting(pool, unless=sweeping)
    await sweeping
    assert await pool.fetchval("SELECT ended FROM submissions WHERE id = $1", id) is False


async def test_an_object_that_is_not_the_results_own_stays_when_its_value_is_deleted(rig: Rig) -> None:
    """A worker handed on its input's object as its output."""
    session = await rig.session()
    source = await rig.result(session)
    key = result_key(session, source)
    size = (await rig.objects.put(key, b"v" * 20_000)).size
    await rig.ask("result.complete", c.ResultComplete(source, object=key, size=size), c.Result)
    id = await rig.submit(session, [spec(inputs=[source])])
    task, made = ids.task_id(id, 0), ids.result_id(id, 0)
    report = ReportBatch("w", [Completed(task, 0, [Output(made, size, object=key)])])
    await rig.bus.publish(subjects.report("default"), msgspec.json.encode(report))
    await rig.until(task, "completed")
    await rig.ask("result.delete", c.ResultDelete(session, [made]), c.ResultList)
    assert await rig.result_status(made) == "deleted"
    assert await rig.value(source) == b"v" * 20_000


async def test_what_runs_again_is_not_left_waiting_for_what_fails_meanwhile(rig: Rig, pool: Any) -> None:
    """A join of one that failed and one that still runs, and fails just when the others are run again."""
    session = await rig.session()
    id = await rig.submit(session, [spec(), spec(), spec(inputs=["@0", "@1"])])
    first, second, join = (ids.task_id(id, line) for line in range(3))
    await rig.ask("task.cancel", c.TaskCancel(session, [first]), c.TaskChanges)
    await rig.until(join, "error")
    async with pool.acquire() as db, db.transaction():
        await hold_needs(db, session, [first])
        assert await rerun(db, session, [first], ([], []))
        failing = asyncio.create_task(rig.ask("task.cancel", c.TaskCancel(session, [second]), c.TaskChanges))
        await waiting(pool, unless=failing)
    await failing
    assert [await rig.status(task) for task in (second, join)] == ["cancelled", "error"]
    assert await rig.status(first) in ("pending", "submitted")  # its turn may have come by now


@pytest.mark.parametrize("what", ["resume", "rebuild"])
async def test_what_waits_for_a_session_holds_none_of_its_tasks(rig: Rig, pool: Any, what: str) -> None:
    """Who retries or releases holds the session when it asks for its tasks: each would wait for the other."""
    session = await rig.session()
    id = await rig.submit(session, [spec(), spec(inputs=["@0"])])
    chosen = ids.task_id(id, 1)
    await pool.execute("UPDATE tasks SET remaining = 0, status = 3 WHERE id = $1", chosen)
    async with pool.acquire() as db, db.transaction():
        if what == "resume":
            await pool.execute("UPDATE sessions SET status = 2, pending_cleanup = true WHERE id = $1", session)
        await sessions.hold(db, session)
        if what == "resume":
            other = asyncio.create_task(lead(rig, session, "resume"))
        else:
            await pool.execute(
                "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN pg_locks l USING (pid)"
                " WHERE l.locktype = 'advisory' AND a.datname = current_database()"
            )
        await waiting(pool)
        await db.execute("SET LOCAL lock_timeout = '500ms'")
        await db.execute("UPDATE tasks SET worker = 'w' WHERE id = $1", chosen)
    if what == "resume":
        assert (await other).status == "running"

    await wait_until(lambda: queued(rig, session, 2))


async def test_what_was_chosen_goes_out_though_nobody_was_told_that_it_committed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection was lost when the database had committed, and before it said so."""
    session, flush = await rig.session(), Unit.flush
    await rig.submit(session, [spec()])
    await wait_until(lambda: queued(rig, session, 1))

    async def lost(self: Unit) -> None:
        await flush(self)
        await self.connection.execute("COMMIT")
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    with monkeypatch.context() as patched:
        patched.setattr(Unit, "flush", lost)
        with pytest.raises(Unavailable):
            await rig.submit(session, [spec()])
    await wait_until(lambda: queued(rig, session, 2))
