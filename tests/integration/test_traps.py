"""What has cost others years, where no other test has it. docs/traps.md says which test has which."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from services.scheduler.compute.completion.store import retry_tasks
from shared.contracts import compute as c
from shared.contracts import ids
from shared.db.pool import open_pool
from shared.worker import App, Task
from tests.support.compute_rig import Rig, open_rig, spec
from tests.support.servers import Servers

app = App()


@app.function
async def note(task: Task) -> bytes:
    return b"x"


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as rig, rig.worker(app, slots=8):
        yield rig


async def test_a_completion_races_with_the_submission_that_waits_for_it(rig: Rig) -> None:
    """Whoever is first, the task runs once."""
    session = await rig.session()

    async def one(n: int) -> UUID:
        gate, id = await rig.result(session), ids.submission_id()

        async def submit() -> None:
            if n % 2:  # in two chunks: a completion may come between them
                await rig.chunk(session, id, 0, 0, [spec(inputs=[gate]) for _ in range(3)])
                await rig.chunk(session, id, 1, 3, [spec(inputs=[gate, "@0"]), spec(inputs=[gate])], last=True)
            else:
                await rig.submit(session, [spec(inputs=[gate]) for _ in range(5)], id=id)

        calls: list[Any] = [submit(), rig.complete(gate, b"1")]
        await asyncio.gather(*(calls if n % 4 < 2 else reversed(calls)))
        return id

    await asyncio.gather(*(one(n) for n in range(40)))
    assert (await rig.all_ended(session)).completed == 200
    completed = rig.framed(session, "completed")
    assert len(completed) == len(set(completed)) == 200


async def test_a_completion_races_with_the_submission_while_pauses_race_with_both(rig: Rig) -> None:
    session = await rig.session()

    async def one() -> None:
        gate = await rig.result(session)
        await asyncio.gather(
            rig.submit(session, [spec(inputs=[gate]), spec(inputs=["@0", gate])]), rig.complete(gate, b"1")
        )

    async def restless() -> None:
        for _ in range(8):
            await rig.ask("session.pause", c.SessionRef(session), c.Session)
            await rig.ask("session.resume", c.SessionRef(session), c.Session)

    await asyncio.gather(restless(), *(one() for _ in range(40)))
    assert (await rig.all_ended(session)).completed == 80


async def test_whoever_elected_a_retry_dies_before_anything_else(rig: Rig) -> None:
    """The commit is all there is: no event, no message, no word to the dispatcher came of it."""
    partition = await rig.partition()
    session = await rig.session(partition)
    id = await rig.submit(session, [spec() for _ in range(3)])
    task = ids.task_id(id, 1)
    await rig.until(task, "submitted")
    async with await open_pool(rig.database.url("scheduler"), "scheduler") as pool:
        assert await retry_tasks(pool, [task], [0], ["gone"], ["fell silent"])
    async with rig.worker(app, partition=partition):
        assert (await rig.all_ended(session)).completed == 3
    assert (await rig.task(task)).attempt == 1
    completed = rig.framed(session, "completed")
    assert sorted(completed) == [ids.task_id(id, line) for line in range(3)]
