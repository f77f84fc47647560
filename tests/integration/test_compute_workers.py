"""Workers that die, hang, lie or come back; functions in child processes."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from shared.contracts import compute as c
from shared.contracts import ids, subjects
from shared.contracts.work import Completed, Confirm, Confirmed, Failed, Output, ReportBatch, Started
from shared.worker import App, Task
from tests.support.compute_functions import app as children
from tests.support.compute_rig import LEASE, Rig, open_rig, spec
from tests.support.manual_worker import hand
from tests.support.servers import Servers
from tests.support.wait import wait_until

app = App()
GATES: dict[str, asyncio.Event] = {}


@app.function
async def hold(task: Task) -> int:
    """Runs until the test opens the gate that the payload names."""
    await GATES.setdefault(task.payload, asyncio.Event()).wait()
    return task.attempt


@app.function
async def note(task: Task) -> Any:
    return task.payload


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as rig:
        yield rig


async def report(rig: Rig, partition: str, *reports: Any, worker: str = "stranger") -> None:
    await rig.bus.publish(subjects.report(partition), ReportBatch(worker, list(reports)))


async def dead(rig: Rig, stream: str) -> list[Any]:
    """The messages in DEAD of one stream, as they are."""
    jetstream = rig.bus.nc.jetstream()
    info = await jetstream.stream_info("DEAD")
    found = [await jetstream.get_msg("DEAD", seq) for seq in range(1, info.state.last_seq + 1)]
    return [message for message in found if message.subject == subjects.dead(stream, subjects.WORKER)]


# -- lost workers


async def test_a_lost_workers_task_gets_another_attempt(rig: Rig) -> None:
    partition, name = await rig.partition(), str(uuid4())
    session = await rig.session(partition)
    async with rig.worker(app, partition=partition) as first:
        id = await rig.submit(session, [spec("hold", name), spec("note", "after", inputs=["@0"])])
        await rig.until(ids.task_id(id, 0), "processing")
        await first.kill()
        async with rig.worker(app, partition=partition):
            await wait_until(lambda: rig.framed(session, "retried"), timeout=20)
            GATES[name].set()
            done = await rig.until(ids.task_id(id, 0), "completed")
            assert (done.attempt, done.name) == (1, f"{done.id}###1")
            assert await rig.value(ids.result_id(id, 0)) == b"1"
            assert (await rig.all_ended(session)).completed == 2
            assert rig.framed(session, "retried") == [done.id]


async def test_a_worker_of_which_nothing_was_heard_has_a_lease_too(rig: Rig) -> None:
    """Its first heartbeat may be lost; its partition may be news to the scheduler that asks."""
    partition = await rig.partition()
    session = await rig.session(partition)
    task = ids.task_id(await rig.submit(session, [spec()]), 0)
    began = time.monotonic()
    await report(rig, partition, Started(task, 0, "stranger"), worker="stranger")
    await wait_until(lambda: rig.framed(session, "retried") == [task], timeout=20)
    assert time.monotonic() - began >= LEASE


async def test_without_retries_left_a_lost_task_fails(rig: Rig) -> None:
    partition, name = await rig.partition(), str(uuid4())
    session = await rig.session(partition)
    async with rig.worker(app, partition=partition) as worker:
        id = await rig.submit(session, [spec("hold", name), spec(inputs=["@0"])], max_retries=0)
        await rig.until(ids.task_id(id, 0), "processing")
        await worker.kill()
        ended = await rig.until(ids.task_id(id, 0))
        assert ended.status == "error"
        assert "fell silent" in ended.error
        assert (await rig.all_ended(session)).failed == 2


async def test_a_task_lost_after_its_session_closed_ends_too(rig: Rig) -> None:
    partition, name = await rig.partition(), str(uuid4())
    session = await rig.session(partition)
    async with rig.worker(app, partition=partition) as worker:
        id = await rig.submit(session, [spec("hold", name)])
        await rig.until(ids.task_id(id, 0), "processing")
        await rig.ask("session.close", c.SessionRef(session), c.Session)
        await worker.kill()
        await rig.until(ids.task_id(id, 0), "error")
        assert await rig.result_status(ids.result_id(id, 0)) == "aborted"


async def test_a_worker_that_is_stopped_finishes_what_runs_and_gives_back_the_rest(rig: Rig) -> None:
    partition, name = await rig.partition(), str(uuid4())
    session = await rig.session(partition)
    async with rig.worker(app, partition=partition, slots=1) as first:
        id = await rig.submit(session, [spec("hold", name), *(spec(payload=n) for n in range(6))])
        await rig.until(ids.task_id(id, 0), "processing")
        ending = asyncio.create_task(first.end())
        async with rig.worker(app, partition=partition):
            GATES[name].set()
            await ending
            assert (await rig.all_ended(session)).completed == 7
            assert not rig.framed(session, "retried")
            assert (await rig.task(ids.task_id(id, 0))).attempt == 0


async def test_a_held_task_of_a_later_attempt_may_not_run_and_its_worker_is_told(rig: Rig) -> None:
    partition = await rig.partition()
    session = await rig.session(partition)
    async with hand(rig, partition, slots=1) as stranger:
        await rig.submit(session, [spec()])
        work = await stranger.take(partition)
        task = work.id
        await stranger.start(work)
        await rig.until(task, "processing")

        async def confirm(worker: str, attempt: int) -> list[UUID]:
            return (await rig.ask("task.confirm", Confirm(worker, [(task, attempt)]), Confirmed, user="")).run

        assert await confirm(stranger.name, 0) == [task]
        assert await confirm("another", 0) == []
        assert await confirm(stranger.name, 1) == []
        await report(rig, partition, Failed(task, 0, "lost", "gone"))
        await wait_until(lambda: rig.framed(session, "retried"))
        assert await confirm(stranger.name, 0) == []
    assert await confirm("another", 1) == [task]
    async with rig.worker(app, partition=partition):
        done = await rig.until(task, "completed")
        assert done.attempt == 1
        assert await confirm("another", 1) == []


# -- reports


async def test_only_the_current_attempts_first_end_counts(rig: Rig) -> None:
    partition = await rig.partition()
    session = await rig.session(partition)
    id = await rig.submit(session, [spec(), spec()])
    task, result = ids.task_id(id, 0), ids.result_id(id, 0)

    def completed(attempt: int, data: bytes) -> Completed:
        return Completed(task, attempt, [Output(result, len(data), data)])

    await report(rig, partition, Failed(task, 0, "lost", "gone"))
    await wait_until(lambda: rig.framed(session, "retried"))
    await report(rig, partition, completed(0, b"too late"), Failed(task, 0, "error", "too late"))
    await report(rig, partition, completed(1, b"first"), completed(1, b"repeat in the same message"))
    await report(rig, partition, completed(1, b"second"), Failed(task, 1, "error", "after its end"))
    marker = Completed(ids.task_id(id, 1), 0, [Output(ids.result_id(id, 1), 0, b"")])
    await report(rig, partition, marker, Failed(uuid4(), 0, "error", "never was"), Completed(uuid4(), 0, []))
    assert (await rig.all_ended(session)).completed == 2
    assert await rig.value(result) in (b"first", b"repeat in the same message")
    assert rig.framed(session, "completed").count(task) == 1
    assert rig.framed(session, "results").count(result) == 1


async def test_what_a_worker_gives_back_waits_again_and_uses_up_no_retry(rig: Rig) -> None:
    """More often than it has retries, before and after it was reported as started."""
    partition = await rig.partition()
    session = await rig.session(partition)
    id = await rig.submit(session, [spec(options={"max_retries": 1})])
    task = ids.task_id(id, 0)
    for attempt in range(4):
        if attempt % 2:
            await report(rig, partition, Started(task, attempt, "stranger"))
        await report(rig, partition, Failed(task, attempt, "returned", "no file descriptors are left"))
        await wait_until(lambda n=attempt: len(rig.framed(session, "retried")) == n + 1)
    await report(rig, partition, Failed(task, 2, "returned", "an earlier attempt: it does not count"))
    await report(rig, partition, Failed(task, 4, "lost", "the only retry"))
    await wait_until(lambda: len(rig.framed(session, "retried")) == 5)
    history = (await rig.ask("task.attempts", c.AttemptQuery(task=task), c.AttemptPage)).items
    assert [one.error for one in history[:5]] == ["no file descriptors are left"] * 4 + ["the only retry"]
    async with rig.worker(app, partition=partition):
        assert (await rig.until(task, "completed")).attempt == 5


async def test_what_is_given_back_in_a_closed_session_is_cancelled(rig: Rig) -> None:
    partition = await rig.partition()
    session = await rig.session(partition)
    task = ids.task_id(await rig.submit(session, [spec()]), 0)
    await report(rig, partition, Started(task, 0, "stranger"))
    await rig.until(task, "processing")
    await rig.ask("session.close", c.SessionRef(session), c.Session)
    await report(rig, partition, Failed(task, 0, "returned", "no processes are left"))
    await rig.until(task, "cancelled")
    assert await rig.result_status(ids.result_id(ids.submission_of(task), 0)) == "aborted"


async def test_a_report_without_its_outputs_fails_the_task(rig: Rig) -> None:
    partition = await rig.partition()
    session = await rig.session(partition)
    id = await rig.submit(session, [spec(outputs=2), spec(outputs=2), spec(inputs=["@0"]), spec(inputs=["@1.1"])])
    short, wrong = ids.task_id(id, 0), ids.task_id(id, 1)
    own, foreign = ids.result_id(id, 1), ids.result_id(id, 0)
    await report(rig, partition, Completed(short, 0, [Output(ids.result_id(id, 0), 0, b"")]))
    await report(rig, partition, Completed(wrong, 0, [Output(own, 0, b""), Output(foreign, 0, b"")]))
    assert (await rig.all_ended(session)).failed == 4
    assert "1 outputs, 2 are expected" in (await rig.task(short)).error
    for line in (0, 1):
        assert await rig.result_status(ids.result_id(id, line, 1)) == "aborted"


async def test_poisoned_reports_are_buried_and_block_nothing(rig: Rig) -> None:
    partition = await rig.partition()
    session = await rig.session(partition)
    id = await rig.submit(session, [spec(), spec(), spec()])
    before = len(await dead(rig, "REPORTS"))
    await rig.bus.publish(subjects.report(partition), b"not JSON")
    await rig.bus.publish(subjects.report(partition), b'{"worker": "w", "reports": [{"type": "unheard"}]}')
    # A number that the database cannot hold, amid others that it can.
    huge = Completed(ids.task_id(id, 1), 0, [Output(ids.result_id(id, 1), 2**63, b"")])
    good = Completed(ids.task_id(id, 0), 0, [Output(ids.result_id(id, 0), 2, b"ok")])
    text = "a reason with \x00 in it"  # PostgreSQL takes no such text
    await report(rig, partition, huge, good, Failed(ids.task_id(id, 2), 0, "error", text))
    counts = await rig.all_ended(session)
    assert (counts.completed, counts.failed) == (1, 2)
    assert "cannot be stored" in (await rig.task(ids.task_id(id, 1))).error
    assert (await rig.task(ids.task_id(id, 2))).error == "a reason with \\x00 in it"

    async def buried() -> bool:
        return len(await dead(rig, "REPORTS")) == before + 3

    await wait_until(buried)
    last = (await dead(rig, "REPORTS"))[before]
    assert last.data == b"not JSON"
    assert last.headers["Hr-Dead-Stream"] == "REPORTS"
    assert last.headers["Hr-Dead-Subject"] == subjects.report(partition)
    assert last.headers["Hr-Dead-Reason"].startswith("not a report")


async def test_a_poisoned_task_message_is_buried_by_the_worker(rig: Rig) -> None:
    partition = await rig.partition()
    session = await rig.session(partition)
    async with rig.worker(app, partition=partition):
        before = len(await dead(rig, "TASKS"))
        await rig.bus.publish(subjects.task(partition, 9, session), b'{"session": 1}')
        id = await rig.submit(session, [spec(payload="next")])
        await rig.until(ids.task_id(id, 0), "completed")

        async def buried() -> bool:
            return len(await dead(rig, "TASKS")) == before + 1

        await wait_until(buried)


# -- functions in child processes


async def test_a_blocking_function_runs_in_a_child(rig: Rig) -> None:
    partition = await rig.partition()
    session = await rig.session(partition)
    async with rig.worker(children, partition=partition, slots=2):
        given = await rig.result(session, b"ab")
        id = await rig.submit(session, [spec("double", inputs=[given]), spec("double", inputs=["@0"])])
        assert (await rig.all_ended(session)).completed == 2
        assert await rig.value(ids.result_id(id, 1)) == b"abababab"
        await wait_until(lambda: len(rig.received(f"hr.evt.task.progress.{session}")) == 2)


async def test_a_blocking_function_is_killed_when_its_time_is_up(rig: Rig, tmp_path: Path) -> None:
    partition = await rig.partition()
    session = await rig.session(partition)
    received = tmp_path / "pid"
    async with rig.worker(children, partition=partition, slots=1):
        # Its child has to be up within that time; what happens when it is not is the same.
        id = await rig.submit(session, [spec("hang", str(received), options={"max_duration": 3})])
        pid = int(await wait_until(lambda: received.exists() and received.read_text(), timeout=20))
        ended = await rig.until(ids.task_id(id, 0), "timeout")
        assert ended.error == "it took longer than 3 s"
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        given = await rig.result(session, b"x")
        again = await rig.submit(session, [spec("double", inputs=[given])])
        await rig.until(ids.task_id(again, 0), "completed")


async def test_a_child_that_dies_is_a_lost_attempt(rig: Rig) -> None:
    partition = await rig.partition()
    session = await rig.session(partition)
    async with rig.worker(children, partition=partition, slots=1):
        id = await rig.submit(session, [spec("crash")])
        done = await rig.until(ids.task_id(id, 0))
        assert (done.status, done.attempt) == ("completed", 1)
        assert msgspec.json.decode(await rig.value(ids.result_id(id, 0))) == 1
        last = await rig.submit(session, [spec("crash", options={"max_retries": 0})])
        assert "status 7" in (await rig.until(ids.task_id(last, 0), "error")).error
