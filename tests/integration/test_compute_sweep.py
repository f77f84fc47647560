"""The sweep: what it takes back, what it leaves alone, and that nothing hides from it."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from services.scheduler.compute.sessions import closing
from services.scheduler.compute.sessions.cleanup import Cleanup
from services.scheduler.compute.submissions.ending import first_open_task
from services.scheduler.compute.sweep import Sweep
from services.scheduler.spans import task_span
from shared.contracts import compute as c
from shared.contracts import ids
from shared.db.pool import open_pool
from shared.service.outbox import Relay
from shared.service.unit import Units
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


async def status(rig: Rig, submission: Any) -> str:
    return (await rig.ask("submission.get", c.SubmissionRef(submission), c.Submission)).status


async def age(pool: "asyncpg.Pool[Any]", table: str, column: str, submission: Any) -> None:
    await pool.execute(f"UPDATE {table} SET created_at = now() - interval '2 hours' WHERE {column} = $1", submission)


async def test_a_submission_is_abandoned_by_the_age_of_its_newest_chunk(rig: Rig, pool: Any) -> None:
    session, id = await rig.session(), ids.submission_id()
    await rig.chunk(session, id, 0, 0, [spec()])
    await age(pool, "submissions", "id", id)
    await sweep(rig, pool).run_once()
    assert await status(rig, id) == "open"
    await age(pool, "chunks", "submission", id)
    await sweep(rig, pool).run_once()
    assert await status(rig, id) == "refused"


async def test_what_was_completed_since_it_was_seen_stays(rig: Rig, pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    session, id = await rig.session(), ids.submission_id()
    await rig.chunk(session, id, 0, 0, [spec()])
    await age(pool, "submissions", "id", id)
    await age(pool, "chunks", "submission", id)
    look = Sweep.refuse

    async def late(self: Sweep, submission: Any) -> int:
        await rig.chunk(session, id, 1, 1, [spec()], last=True)
        return await look(self, submission)

    monkeypatch.setattr(Sweep, "refuse", late)
    await sweep(rig, pool).run_once()
    assert (await status(rig, id), (await rig.counts(session)).total) == ("visible", 2)


async def test_submissions_that_wait_hide_no_others_nor_does_an_error(
    rig: Rig, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await rig.session()
    gate = await rig.result(session)
    waits = [await rig.submit(session, [spec(inputs=[gate])]) for _ in range(5)]
    over = await rig.submit(session, [spec(inputs=[gate])])
    await pool.execute("UPDATE tasks SET status = 6 WHERE id = $1", ids.task_id(over, 0))

    async def broken(self: Sweep) -> int:
        raise RuntimeError("as asked")

    monkeypatch.setattr(Sweep, "refuse_abandoned", broken)
    swept = sweep(rig, pool, page=2)
    for _ in range(8):
        with pytest.raises(RuntimeError):
            await swept.run_once()
    settled = await pool.fetch("SELECT id FROM submissions WHERE ended AND session = $1", session)
    assert [row["id"] for row in settled] == [over]
    assert all([await first_open_task(pool, *task_span(id)) for id in waits])


async def test_a_close_that_was_interrupted_is_finished_slice_by_slice(
    rig: Rig, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closed, and killed before the first slice: nothing is chosen any more, and the sweep cancels the rest."""

    async def killed(self: Cleanup, session: Any) -> None:
        pass

    monkeypatch.setattr(Cleanup, "begin", killed)
    session = await rig.session()
    gate = await rig.result(session)
    id = await rig.submit(session, [spec(inputs=[gate], outputs=n % 4) for n in range(20)] + [spec()])
    await rig.ask("session.close", c.SessionRef(session), c.Session)
    assert (await rig.counts(session)).cancelled == 0
    await sweep(rig, pool, slice=6).run_once()
    assert (await rig.counts(session)).cancelled == 21
    await wait_until(lambda: len(rig.framed(session, "cancelled")) == 21)
    assert set(rig.framed(session, "aborted")) == {
        gate, ids.result_id(id, 20), *(ids.result_id(id, n, k) for n in range(20) for k in range(n % 4))
    }  # fmt: skip
    assert max(len(frame.cancelled) for frame in rig.frames(session)) <= 6
    await sweep(rig, pool).run_once()
    assert await pool.fetchval("SELECT ended FROM submissions WHERE id = $1", id)


async def test_a_session_that_goes_while_it_is_looked_at_keeps_no_other_from_closing(
    rig: Rig, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = ids.uuid7()

    async def late(db: Any, sessions: Any) -> list[UUID]:  # its row was still there
        return [gone]

    monkeypatch.setattr(closing, "candidates", late)
    round = closing.Closing(Units(pool, Relay(rig.bus, pool, "scheduler")))
    round.touch(str(gone))
    assert await round.run_once() == 0
