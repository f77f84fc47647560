"""A task goes only where its function is: real workers with different functions, one scheduler, two partitions."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from services.scheduler.compute.sessions.cleanup_store import drop_ready
from services.scheduler.dispatch.unplaced import UnplacedTasks
from shared.contracts import compute as c
from shared.contracts import ids, subjects
from shared.contracts.paging import Page
from shared.contracts.work import Beat, BeatReply
from shared.worker import App, Task
from tests.support.compute_rig import Rig, open_rig, spec
from tests.support.servers import Servers
from tests.support.wait import wait_until

RAN: Counter[str] = Counter()


def having(*names: str) -> App:
    """Functions that count how often they ran."""
    app = App()

    async def ran(task: Task) -> Any:
        RAN[task.payload] += 1
        return task.payload

    for name in names:
        app.function(name=name)(ran)
    return app


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as rig:
        yield rig


async def partition(rig: Rig, name: str) -> c.Partition:
    return await rig.ask("partition.get", c.PartitionRef(name), c.Partition)


async def explained(rig: Rig, submission: Any, line: int) -> c.Explanation:
    return await rig.ask("task.explain", c.TaskRef(ids.task_id(submission, line)), c.Explanation)


async def test_a_task_waits_until_a_worker_with_its_function_comes(rig: Rig) -> None:
    """Beside others of its submission, which run; also what is released only then; and what is exec or the session's own."""
    here, there = await rig.partition(), await rig.partition()
    session = await rig.session(here, function="typo")
    async with rig.worker(having("f"), partition=here), rig.worker(having("late"), partition=there, name=f"w-{there}"):
        await wait_until(lambda: _seen(rig, there, 1))
        id = await rig.submit(
            session,
            [spec("f", "a"), spec("late", "b"), spec("f", "c"), spec("late", "d", ["@0"]), spec("exec"), c.TaskSpec()],
        )
        for line in (0, 2):
            await rig.until(ids.task_id(id, line), "completed")
        await wait_until(lambda: _placeless(rig, session, {"late": 2, "exec": 1, "typo": 1}))
        for line in (1, 3, 4, 5):
            assert (await rig.task(ids.task_id(id, line))).status == "pending"
        why = await explained(rig, id, 3)
        assert why.summary == "it is ready and waits for its turn"
        assert why.reasons[0] == (
            f"no live worker of partition {here!r} has function 'late'; these do: w-{there} (partition {there!r})"
        )
        assert "none of another partition has it either" in (await explained(rig, id, 5)).reasons[0]
        seen = await partition(rig, here)
        assert (seen.functions, seen.unplaced) == (["f"], {"late": 2, "exec": 1, "typo": 1})
        async with rig.worker(having("late"), partition=here):
            for line in (1, 3):
                done = await rig.until(ids.task_id(id, line), "completed")
        assert done.attempt > 0
        await rig.ask("session.cancel", c.SessionRef(session), c.Session)
        assert (await rig.all_ended(session)).cancelled == 2
        assert (await partition(rig, here)).unplaced == {}
    assert await rig.value(ids.result_id(id, 3)) == b'"d"'


async def _seen(rig: Rig, name: str, workers: int) -> bool:
    return (await partition(rig, name)).workers == workers


async def _placeless(rig: Rig, session: Any, expected: dict[str, int]) -> bool:
    return (await rig.counts(session)).unplaced == expected


async def test_a_large_submission_whose_function_nobody_has_is_left_where_it_is(rig: Rig) -> None:
    name = await rig.partition()
    async with rig.worker(having("f"), partition=name):
        large = await rig.session(name)
        await wait_until(lambda: _seen(rig, name, 1))
        id = await rig.submit(large, [spec("later", "large") for _ in range(300)])
        small = await rig.session(name)
        await rig.submit(small, [spec("f", "small") for _ in range(300)])
        assert (await rig.all_ended(small)).completed == 300
        assert (await rig.counts(large)).unplaced == {"later": 300}
        first = await rig.task(ids.task_id(id, 0))
        assert (first.status, first.attempt) == ("pending", 0), "nothing was written for it"
        async with rig.worker(having("f", "later"), partition=name):
            assert (await rig.all_ended(large)).completed == 300
    assert RAN["large"] == 300


async def test_where_one_worker_of_four_has_the_function_all_runs_there_once(rig: Rig) -> None:
    name = await rig.partition()
    session = await rig.session(name)
    others = having("g")
    async with (
        rig.worker(having("f", "g"), partition=name, name=f"right-{name}"),
        rig.worker(others, partition=name),
        rig.worker(others, partition=name),
        rig.worker(others, partition=name),
    ):
        await wait_until(lambda: _seen(rig, name, 4))
        tasks = [spec("f", "mixed f"), spec("g", "mixed g")] * 150
        id = await rig.submit(session, [*tasks, spec("f", "mixed f", ["@0"])])
        assert (await rig.all_ended(session)).completed == 301
        assert (RAN["mixed f"], RAN["mixed g"]) == (151, 150)
        last = await rig.task(ids.task_id(id, 300))
        assert last.max_retries == 2
        assert (await partition(rig, name)).outstanding == 0


async def test_where_one_worker_of_two_has_the_function_more_than_fit_all_run_once(rig: Rig) -> None:
    """They take a while, so that many are set aside, more than have their turn at once."""
    name = await rig.partition()
    session = await rig.session(name)
    begun, go, ran = asyncio.Semaphore(0), asyncio.Semaphore(0), Counter[str]()
    slow = App()

    @slow.function(name="slow")
    async def held(task: Task) -> None:
        ran[task.payload] += 1
        begun.release()
        await go.acquire()

    async with rig.worker(slow, partition=name), rig.worker(having("g"), partition=name):
        await wait_until(lambda: _seen(rig, name, 2))
        await rig.submit(session, [spec("slow", str(n)) for n in range(60)])
        await wait_until(lambda: len(rig.framed(session, "retried")) > 20)
        async with asyncio.timeout(30):
            for _ in range(60):
                await begun.acquire()
                go.release()
        assert (await rig.all_ended(session)).completed == 60
    assert ran == {str(n): 1 for n in range(60)}


async def test_placing_does_not_wait_for_who_ends_a_session(rig: Rig) -> None:
    """Both take rows of `unplaced` away, several at a time: who waited for the other might do so for ever."""
    admin = [await asyncpg.connect(rig.database.admin_url) for _ in range(2)]
    try:
        for one in admin:
            await one.execute("SET search_path = scheduler; SET lock_timeout = '5s'")
        session, task = uuid4(), uuid4()
        await admin[0].execute("INSERT INTO unplaced VALUES (32000, 'f', $1, 1, $2)", task, session)
        async with admin[0].transaction():
            await drop_ready(admin[0], session)
            assert await UnplacedTasks(admin[1]).place(32000, "f", 10) == 0
        assert await admin[0].fetchval("SELECT count(*) FROM unplaced WHERE task = $1", task) == 0
    finally:
        for one in admin:
            await one.close()


async def test_an_unwell_worker_is_named_with_its_reason_and_its_slots_do_not_count(rig: Rig) -> None:
    name = await rig.partition()
    session = await rig.session(name)
    beat = Beat(f"sick-{name}", name, 8, ["f"], [], unwell="no file descriptors are left")
    await rig.bus.request(subjects.beat(beat.worker), beat, BeatReply)
    seen = await partition(rig, name)
    assert (seen.workers, seen.slots, seen.unwell) == (1, 0, {beat.worker: "no file descriptors are left"})
    id = await rig.submit(session, [spec("f", "sick")])
    await wait_until(lambda: _says(rig, id, f"worker {beat.worker} is unwell: no file descriptors are left"))
    async with rig.worker(having("f"), partition=name):
        assert (await rig.all_ended(session)).completed == 1


async def _says(rig: Rig, submission: Any, reason: str) -> bool:
    return reason in (await explained(rig, submission, 0)).reasons


async def test_an_upgraded_worker_takes_what_waited_for_its_new_function(rig: Rig) -> None:
    name = await rig.partition()
    session = await rig.session(name)
    async with rig.worker(having("old"), partition=name, name=f"same-{name}"):
        await wait_until(lambda: _seen(rig, name, 1))
        await rig.submit(session, [spec("new", "upgraded")])
        await wait_until(lambda: _placeless(rig, session, {"new": 1}))
    async with rig.worker(having("new"), partition=name, name=f"same-{name}"):
        assert (await rig.all_ended(session)).completed == 1
    listed = await rig.ask("partition.list", Page(1000), c.PartitionPage)
    assert next(one for one in listed.items if one.name == name).unplaced == {}
