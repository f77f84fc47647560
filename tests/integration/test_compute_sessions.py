"""Sessions led from one state to another, with what that does to tasks, results, queue and objects."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from nats.aio.msg import Msg

from shared.bus import topology
from shared.bus.client import Bus
from shared.contracts import compute as c
from shared.contracts import ids, subjects
from shared.contracts.errors import Conflict, Forbidden, Invalid, NotFound
from shared.contracts.operations import Amount, Operation, OperationRef, OperationWait
from shared.objects.layout import result_key, session_prefix
from shared.worker import App, Task
from tests.support.compute_rig import Rig, open_rig, spec
from tests.support.servers import Servers
from tests.support.wait import wait_until

app = App()
GATES: dict[str, asyncio.Event] = {}
RAN: list[UUID] = []


@app.function
async def note(task: Task) -> bytes:
    RAN.append(task.id)
    return b"x" * (task.payload or 1)


@app.function
async def hold(task: Task) -> str:
    """Runs until the test lets it go on."""
    RAN.append(task.id)
    await GATES.setdefault(task.payload, asyncio.Event()).wait()
    return "held"


@app.function
async def fail_once(task: Task) -> str:
    if task.attempt == 0:
        raise RuntimeError("as asked")
    return "better"


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as rig, rig.worker(app, slots=4):
        yield rig


@pytest.fixture
async def admin(rig: Rig) -> AsyncIterator["asyncpg.Connection[Any]"]:
    db = await asyncpg.connect(rig.database.admin_url, server_settings={"search_path": "scheduler"})
    yield db
    await db.close()


async def lead(rig: Rig, session: UUID, verb: str) -> c.Session:
    return await rig.ask(f"session.{verb}", c.SessionRef(session), c.Session)


async def status(rig: Rig, session: UUID) -> str:
    return (await rig.ask("session.get", c.SessionGet(session), c.Session)).status


async def statuses(rig: Rig, submission: UUID, *lines: int) -> list[str]:
    return [await rig.status(ids.task_id(submission, line)) for line in lines]


# -- pause and resume


async def test_a_paused_session_begins_nothing_and_loses_nothing(rig: Rig) -> None:
    """What runs finishes and releases what waited for it: that waits, as does what was queued. Then all of it runs."""
    partition, name = await rig.partition(), str(uuid4())
    async with rig.worker(app, partition=partition, slots=1):
        session = await rig.session(partition)
        id = await rig.submit(session, [spec("hold", name), *(spec() for _ in range(40)), spec(inputs=["@0"])])
        await rig.until(ids.task_id(id, 0), "processing")
        paused = await lead(rig, session, "pause")
        assert (paused.status, paused.client_submission) == ("paused", True)
        assert await statuses(rig, id, 0, 1, 40, 41) == ["processing", "paused", "paused", "pending"]
        other = await rig.submit(await rig.session(partition), [spec()])  # its places are free for others
        GATES[name].set()
        await rig.until(ids.task_id(id, 0), "completed")
        await rig.until(ids.task_id(other, 0), "completed")
        assert await rig.status(ids.task_id(id, 41)) == "paused"
        assert not [task for task in RAN if ids.submission_of(task) == id and ids.line_of(task)]
        more = await rig.submit(session, [spec()])
        assert await rig.status(ids.task_id(more, 0)) == "paused"
        assert "PAUSED" in (await rig.ask("task.explain", c.TaskRef(ids.task_id(more, 0)), c.Explanation)).reasons[0]
        with pytest.raises(Conflict, match="PAUSED"):
            await lead(rig, session, "pause")
        resumed = await lead(rig, session, "resume")
        assert resumed.status == "running"
        assert (await rig.all_ended(session)).completed == 43
        assert (await lead(rig, session, "resume")).status == "running"  # a running one stays as it is
        ran = [task for task in RAN if ids.submission_of(task) in (id, more)]
        assert len(ran) == len(set(ran)) == 43


async def test_an_upload_in_a_paused_session_releases_when_it_is_resumed(rig: Rig) -> None:
    session = await rig.session()
    gate = await rig.result(session)
    id = await rig.submit(session, [spec(inputs=[gate])])
    await lead(rig, session, "pause")
    await rig.complete(gate, b"1")
    assert await rig.status(ids.task_id(id, 0)) == "paused"
    await lead(rig, session, "resume")
    assert (await rig.all_ended(session)).completed == 1


@pytest.mark.parametrize("times", [3])
async def test_pauses_and_resumes_while_tasks_come_and_go_lose_and_double_nothing(rig: Rig, times: int) -> None:
    session = await rig.session()
    layers = [spec(inputs=[f"@{n - 20}"] if n >= 20 else []) for n in range(200)]

    async def submit() -> list[UUID]:
        return [await rig.submit(session, layers) for _ in range(5)]

    submitting = asyncio.create_task(submit())
    for _ in range(times):
        await lead(rig, session, "pause")
        await lead(rig, session, "resume")
    await submitting
    await lead(rig, session, "pause")
    await lead(rig, session, "resume")
    assert (await rig.all_ended(session, timeout=60)).completed == 1000
    completed = rig.framed(session, "completed")
    assert len(completed) == len(set(completed)) == 1000


async def test_a_pause_whose_process_died_is_finished_by_whoever_resumes(
    rig: Rig, admin: "asyncpg.Connection[Any]"
) -> None:
    partition = await rig.partition()  # no worker yet: what is chosen stays in the queue
    session = await rig.session(partition)
    id = await rig.submit(session, [spec() for _ in range(6)])
    await rig.until(ids.task_id(id, 0), "submitted")
    await admin.execute(
        "UPDATE sessions SET status = 2, pending_cleanup = true, version = version + 1 WHERE id = $1", session
    )
    assert (await lead(rig, session, "resume")).status == "running"
    async with rig.worker(app, partition=partition):
        assert (await rig.all_ended(session)).completed == 6
    assert not await admin.fetchval("SELECT pending_cleanup FROM sessions WHERE id = $1", session)


# -- cancel


async def test_cancel_ends_everything_and_stops_what_runs(rig: Rig) -> None:
    partition, name = await rig.partition(), str(uuid4())
    async with rig.worker(app, partition=partition, slots=1):
        session = await rig.session(partition)
        alone, done = await rig.result(session), await rig.result(session, b"1")
        id = await rig.submit(session, [spec("hold", name), *(spec() for _ in range(20)), spec(inputs=["@0"])])
        await rig.until(ids.task_id(id, 0), "processing")
        cancelled = await lead(rig, session, "cancel")
        assert (cancelled.status, cancelled.client_submission, cancelled.worker_submission) == (
            "cancelled", False, False
        )  # fmt: skip
        assert cancelled.cancelled_at is not None
        assert await rig.status(ids.task_id(id, 0)) in ("cancelling", "cancelled")
        assert await statuses(rig, id, 1, 20, 21) == ["cancelled"] * 3
        for result in (alone, ids.result_id(id, 0), ids.result_id(id, 21)):
            assert await rig.result_status(result) == "aborted"
        assert await rig.result_status(done) == "completed"
        assert (await rig.until(ids.task_id(id, 0), "cancelled")).error == "its session was cancelled"
        assert not [task for task in RAN if ids.submission_of(task) == id and ids.line_of(task)]
        other = await rig.submit(await rig.session(partition), [spec()])  # its slot is free again
        await rig.until(ids.task_id(other, 0), "completed")
        for verb in ("cancel", "pause", "resume", "close"):
            with pytest.raises(Conflict, match="CANCELLED"):
                await lead(rig, session, verb)
        with pytest.raises(Conflict, match="CANCELLED"):
            await rig.complete(alone, b"late")
        with pytest.raises(Conflict, match="CANCELLED"):
            await rig.submit(session, [spec()])
        await wait_until(lambda: len(set(rig.framed(session, "cancelled"))) == 22)


async def test_nothing_begins_in_a_slot_that_a_heartbeats_answer_frees(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heartbeats are answered between the session's change and the message that stops its tasks, which a slow purge holds up."""
    partition, beats, purge = await rig.partition(), [0], topology.purge

    async def count(message: Msg) -> None:
        beats[0] += 1

    async def slow_purge(bus: Bus, stream: str, subject: str) -> int:
        if subject == subjects.tasks_of_session(session):
            after = beats[0] + 3
            await wait_until(lambda: beats[0] >= after)
        return await purge(bus, stream, subject)

    async with rig.worker(app, partition=partition, slots=1) as worker:
        session = await rig.session(partition)
        id = await rig.submit(session, [spec("hold", str(uuid4())), *(spec() for _ in range(20))])
        await rig.until(ids.task_id(id, 0), "processing")
        await rig.bus.nc.subscribe(subjects.beat(worker.name), cb=count)
        monkeypatch.setattr(topology, "purge", slow_purge)
        await lead(rig, session, "cancel")
        assert (await rig.until(ids.task_id(id, 0), "cancelled")).error == "its session was cancelled"
        assert await statuses(rig, id, *range(1, 21)) == ["cancelled"] * 20
        assert not [task for task in RAN if ids.submission_of(task) == id and ids.line_of(task)]


async def test_a_closed_session_and_a_paused_one_can_be_cancelled(rig: Rig) -> None:
    for verb in ("close", "pause"):
        session = await rig.session()
        gate = await rig.result(session)
        id = await rig.submit(session, [spec(inputs=[gate])])
        await lead(rig, session, verb)
        assert (await lead(rig, session, "cancel")).status == "cancelled"
        assert await rig.status(ids.task_id(id, 0)) == "cancelled"


async def test_submission_can_be_stopped_for_clients_and_for_workers(rig: Rig) -> None:
    session = await rig.session()
    with pytest.raises(Invalid) as raised:
        await rig.ask("session.stop", c.SessionStop(session), c.Session)
    assert raised.value.field == "client"
    stopped = await rig.ask("session.stop", c.SessionStop(session, worker=True), c.Session)
    assert (stopped.client_submission, stopped.worker_submission) == (True, False)
    await rig.submit(session, [spec()])
    stopped = await rig.ask("session.stop", c.SessionStop(session, client=True), c.Session)
    assert (stopped.status, stopped.client_submission, stopped.worker_submission) == ("running", False, False)
    with pytest.raises(Conflict, match="takes no submissions any more: that was stopped"):
        await rig.submit(session, [spec()])
    assert (await rig.all_ended(session)).completed == 1


async def test_sessions_are_their_owners(rig: Rig) -> None:
    session = await rig.session()
    for verb in ("pause", "resume", "close", "cancel", "purge", "delete"):
        with pytest.raises((Forbidden, NotFound)):
            await rig.ask(f"session.{verb}", c.SessionRef(session), c.Session, user="eve")
    with pytest.raises((Forbidden, NotFound)):
        await rig.ask("session.stop", c.SessionStop(session, client=True), c.Session, user="eve")
    with pytest.raises((Forbidden, NotFound)):
        await rig.ask("task.rerun", c.TaskRerun(session), c.TaskChanges, user="eve")
    assert await status(rig, session) == "running"


# -- purge and delete


async def keys(rig: Rig, session: UUID) -> list[str]:
    return [one.key async for one in rig.objects.list(session_prefix(session))]


async def filled(rig: Rig) -> tuple[UUID, UUID]:
    """A session with values inline and in storage, of a task, uploaded, and left behind by somebody who lost."""
    session = await rig.session()
    await rig.result(session, b"1")
    id = await rig.submit(session, [spec(payload=40_000), spec()])
    await rig.all_ended(session)
    lost = result_key(session, ids.result_id(id, 1))
    await rig.objects.put(lost, b"lost" * 9000)
    assert len(await keys(rig, session)) == 2
    return session, id


async def test_purge_is_refused_while_a_session_is_open_and_deletes_nothing(rig: Rig) -> None:
    session, id = await filled(rig)
    for verb in ("", "pause"):
        if verb:
            await lead(rig, session, verb)
        with pytest.raises(Conflict, match="purge would make it PURGED"):
            await lead(rig, session, "purge")
    assert len(await rig.value(ids.result_id(id, 0))) == 40_000
    assert len(await keys(rig, session)) == 2


async def test_purge_leaves_no_object_behind_and_touches_no_others(rig: Rig) -> None:
    (session, id), (other, kept) = await filled(rig), await filled(rig)
    await lead(rig, session, "close")
    begun = await lead(rig, session, "purge")
    assert begun.operation
    await wait_until(lambda: _is(rig, session, "purged"))
    purged = await rig.ask("session.get", c.SessionGet(session), c.Session)
    assert (purged.operation, purged.purged_at is not None) == ("", True)
    assert not await keys(rig, session)
    results = (await rig.ask("result.list", c.ResultQuery(session=session), c.ResultPage)).items
    assert [(result.status, result.opaque) for result in results] == [("deleted", "")] * 3
    assert set(rig.framed(session, "deleted")) == {result.id for result in results}
    purge = await operation(rig, begun.operation)
    assert (purge.metadata.kind, purge.metadata.target, purge.metadata.owner) == ("purge", f"sessions/{session}", "ann")
    assert purge.metadata.progress == {"objects": Amount(2), "results": Amount(3)}
    assert purge.result["status"] == "purged"
    with pytest.raises(NotFound):
        await rig.ask("operation.get", OperationRef(UUID(begun.operation)), Operation, user="eve")
    assert await rig.status(ids.task_id(id, 0)) == "completed"
    assert len(await keys(rig, other)) == 2
    assert len(await rig.value(ids.result_id(kept, 0))) == 40_000
    with pytest.raises(Conflict, match="PURGED"):
        await lead(rig, session, "purge")


async def _is(rig: Rig, session: UUID, wanted: str) -> bool:
    return await status(rig, session) == wanted


async def gone(rig: Rig, session: UUID) -> bool:
    try:
        await status(rig, session)
    except NotFound:
        return True
    return False


async def test_purge_of_a_closed_session_stops_what_still_runs(rig: Rig) -> None:
    name = str(uuid4())
    session = await rig.session()
    id = await rig.submit(session, [spec("hold", name)])
    await rig.until(ids.task_id(id, 0), "processing")
    await lead(rig, session, "close")
    assert await rig.status(ids.task_id(id, 0)) == "processing"
    await lead(rig, session, "purge")
    await wait_until(lambda: _is(rig, session, "purged"))
    assert await rig.status(ids.task_id(id, 0)) == "cancelled"


async def operation(rig: Rig, name: str) -> Operation:
    """As it is when it has ended."""
    found = await rig.ask("operation.wait", OperationWait(UUID(name)), Operation)
    assert found.done
    return found


TABLES = ("tasks", "results", "dependencies", "submissions", "ready", "lanes", "running", "attempts", "chunks")


async def test_delete_of_a_running_session_leaves_no_row_and_no_object(
    rig: Rig, admin: "asyncpg.Connection[Any]"
) -> None:
    async def rows() -> dict[str, int]:
        return {table: await admin.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}

    before, name = await rows(), str(uuid4())
    session, _ = await filled(rig)
    gate = await rig.result(session)
    id = await rig.submit(session, [spec("hold", name), spec(inputs=["@0", gate]), *(spec() for _ in range(30))])
    await rig.until(ids.task_id(id, 0), "processing")
    begun = await lead(rig, session, "delete")
    await lead(rig, session, "delete")  # asked twice: one chain
    await wait_until(lambda: gone(rig, session))
    assert await rows() == before
    deletion = await operation(rig, begun.operation)
    assert (deletion.metadata.kind, deletion.metadata.target, deletion.result) == ("delete", f"sessions/{session}", {})
    assert not await keys(rig, session)
    await wait_until(lambda: rig.received(f"hr.evt.session.deleted.{session}"))


async def test_a_purged_session_can_be_deleted(rig: Rig) -> None:
    session, _ = await filled(rig)
    await lead(rig, session, "close")
    await lead(rig, session, "purge")
    await wait_until(lambda: _is(rig, session, "purged"))
    await lead(rig, session, "delete")
    await wait_until(lambda: gone(rig, session))


# -- tasks, one by one and in bulk


async def test_cancel_of_pending_queued_and_running_tasks(rig: Rig) -> None:
    partition, name = await rig.partition(), str(uuid4())
    async with rig.worker(app, partition=partition, slots=1):
        session = await rig.session(partition)
        gate = await rig.result(session)
        lines = [spec("hold", name), spec(), spec(inputs=["@0"]), spec(inputs=[gate]), spec(inputs=["@3"]), spec()]
        id = await rig.submit(session, lines)
        await rig.until(ids.task_id(id, 0), "processing")
        named = [ids.task_id(id, line) for line in (0, 1, 3)]
        done = await rig.ask("task.cancel", c.TaskCancel(session, named), c.TaskChanges)
        assert (done.changed, done.unchanged) == (3, 0)
        assert (await rig.until(named[0], "cancelled", timeout=5)).error == "it was cancelled"
        await rig.all_ended(session)
        assert await statuses(rig, id, *range(6)) == [
            "cancelled", "cancelled", "error", "cancelled", "error", "completed"
        ]  # fmt: skip
        assert ids.task_id(id, 1) not in RAN
        assert await rig.result_status(gate) == "created"
        again = await rig.ask("task.cancel", c.TaskCancel(session, named), c.TaskChanges)
        assert (again.changed, again.unchanged) == (0, 3)
        with pytest.raises(NotFound) as raised:
            await rig.ask("task.cancel", c.TaskCancel(session, [named[0], uuid4()]), c.TaskChanges)
        assert raised.value.field == "tasks[1]"
        with pytest.raises(Invalid):
            await rig.ask("task.cancel", c.TaskCancel(session, [named[0], named[0]]), c.TaskChanges)


async def test_failed_tasks_run_again_with_all_that_failed_because_of_them(rig: Rig) -> None:
    session = await rig.session()
    gate = await rig.result(session)
    id = await rig.submit(
        session,
        [spec("fail_once"), spec(inputs=["@0"]), spec(), spec(inputs=["@1", "@2"]), spec(inputs=[gate])],
    )
    await rig.ask("result.abort", c.ResultAbort(session, [gate], "it will not come"), c.ResultList)
    await rig.all_ended(session)
    assert await statuses(rig, id, *range(5)) == ["error", "error", "completed", "error", "error"]
    done = await rig.ask("task.rerun", c.TaskRerun(session), c.TaskChanges)
    assert (done.changed, done.unchanged) == (3, 1)  # what the aborted result would have given stays failed
    await rig.all_ended(session)
    assert await statuses(rig, id, *range(5)) == ["completed"] * 4 + ["error"]
    assert [(await rig.task(ids.task_id(id, line))).attempt for line in range(4)] == [1, 1, 0, 1]
    assert await rig.value(ids.result_id(id, 0)) == b'"better"'
    with pytest.raises(Invalid) as raised:
        await rig.ask("task.rerun", c.TaskRerun(session, statuses=["completed"]), c.TaskChanges)
    assert raised.value.field == "statuses[0]"
    await lead(rig, session, "close")
    with pytest.raises(Conflict, match="CLOSED"):
        await rig.ask("task.rerun", c.TaskRerun(session), c.TaskChanges)


async def test_one_failed_task_runs_again_and_its_siblings_wait(rig: Rig) -> None:
    """Named ones only, in a paused session: they wait with the others."""
    session = await rig.session()
    id = await rig.submit(session, [spec("fail_once"), spec("fail_once"), spec(inputs=["@0", "@1"])])
    await rig.all_ended(session)
    await lead(rig, session, "pause")
    done = await rig.ask("task.rerun", c.TaskRerun(session, [ids.task_id(id, 0)]), c.TaskChanges)
    assert (done.changed, done.unchanged) == (1, 0)  # the join still needs the other one
    assert await statuses(rig, id, 0, 1, 2) == ["paused", "error", "error"]
    await lead(rig, session, "resume")
    await rig.until(ids.task_id(id, 0), "completed")
    done = await rig.ask("task.rerun", c.TaskRerun(session), c.TaskChanges)
    assert done.changed == 2
    assert (await rig.all_ended(session)).completed == 3


# -- closed when done


async def closing(rig: Rig) -> UUID:
    return (await rig.ask("session.create", c.SessionCreate(close_when_done=True), c.Session)).id


async def closed(rig: Rig, session: UUID) -> None:
    await wait_until(lambda: is_closed(rig, session))


async def is_closed(rig: Rig, session: UUID) -> bool:
    return await status(rig, session) == "closed"


@app.function
async def breed(task: Task) -> str:
    """Leaves behind a task that is held, when it has ended itself."""
    task.submit("hold", task.payload)
    return "bred"


async def test_it_closes_when_its_tasks_and_their_subtasks_have_ended_and_opens_to_run_one_again(rig: Rig) -> None:
    session, gate = await closing(rig), str(uuid4())
    assert await status(rig, session) == "running", "nothing was submitted yet"
    id = await rig.submit(session, [spec("fail_once"), spec(inputs=["@0"]), spec("breed", gate)])
    await wait_until(lambda: _bred(rig, session))
    assert await status(rig, session) == "running", "a subtask runs"
    GATES.setdefault(gate, asyncio.Event()).set()
    await closed(rig, session)
    assert (await rig.counts(session)).failed == 2
    with pytest.raises(Conflict, match="CLOSED"):
        await rig.submit(session, [spec()])
    again = await rig.ask("task.rerun", c.TaskRerun(session), c.TaskChanges)
    assert (again.changed, again.unchanged, again.reasons) == (2, 0, [])
    await wait_until(lambda: len(rig.received(f"hr.evt.session.closed.{session}")) == 2)
    assert await status(rig, session) == "closed"
    assert (await rig.counts(session)).completed == 4
    assert len(rig.received(f"hr.evt.session.reopened.{session}")) == 1
    assert await statuses(rig, id, 0, 1) == ["completed"] * 2


async def _bred(rig: Rig, session: UUID) -> bool:
    counts = await rig.counts(session)
    return (counts.total, counts.completed, counts.failed) == (4, 1, 2)


async def test_it_does_not_close_while_more_is_coming_or_it_is_paused_nor_open_once_a_user_closed_it(rig: Rig) -> None:
    session, id = await closing(rig), ids.submission_id()
    await rig.submit(session, [spec()])
    await rig.chunk(session, id, 0, 0, [spec()])  # its last chunk has not come
    await rig.all_ended(session)
    assert (await lead(rig, session, "pause")).status == "paused"
    await rig.chunk(session, id, 1, 1, [spec()], last=True)
    waiting = await rig.counts(session)
    assert (waiting.total, waiting.completed) == (3, 1)
    await lead(rig, session, "resume")
    await closed(rig, session)
    assert (await rig.counts(session)).completed == 3
    other = await closing(rig)
    await rig.submit(other, [spec("fail_once"), spec("hold", "never")])
    await wait_until(lambda: _failed(rig, other))
    await lead(rig, other, "cancel")
    with pytest.raises(Conflict, match="CANCELLED"):
        await rig.ask("task.rerun", c.TaskRerun(other), c.TaskChanges)


async def _failed(rig: Rig, session: UUID) -> bool:
    return (await rig.counts(session)).failed == 1


async def test_what_cannot_run_again_says_why(rig: Rig) -> None:
    """Its input was deleted; or what makes its input cannot run again; or it did not end badly. The session stays closed."""
    session = await closing(rig)
    value = await rig.result(session, b"1")
    id = await rig.submit(session, [spec("fail_once", inputs=[str(value)]), spec(inputs=["@0"]), spec()])
    await closed(rig, session)
    await rig.ask("result.delete", c.ResultDelete(session, [value]), c.ResultList)
    first, second, fine = (ids.task_id(id, line) for line in range(3))
    changes = await rig.ask("task.rerun", c.TaskRerun(session), c.TaskChanges)
    assert (changes.changed, changes.unchanged) == (0, 2)
    assert {one.task: one.reason for one in changes.reasons} == {
        first: f"result {value}, which it needs, was deleted",
        second: f"result {ids.result_id(id, 0)}, which it needs, was aborted: task {first}, which produces it, does not run again",
    }
    changes = await rig.ask("task.rerun", c.TaskRerun(session, [fine]), c.TaskChanges)
    assert [one.reason for one in changes.reasons] == ["it is COMPLETED"]
    assert await status(rig, session) == "closed"
    assert rig.received(f"hr.evt.session.reopened.{session}") == []
