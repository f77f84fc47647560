"""Tasks on a real worker: order, release, failure, turns, close, values of every size, paging, ownership."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from shared.contracts import compute as c
from shared.contracts import ids
from shared.contracts.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from shared.contracts.events import SessionChanged, TaskProgress
from shared.contracts.paging import Page
from shared.objects.layout import result_key
from shared.objects.s3 import open_objects
from shared.objects.settings import ObjectsSettings
from shared.worker import App, Task
from tests.support.buckets import Bucket
from tests.support.compute_rig import Rig, open_rig, spec
from tests.support.servers import Servers
from tests.support.wait import wait_until

app = App()
RAN: list[tuple[UUID, Any]] = []
GATES: dict[str, asyncio.Event] = {}


def gate(name: str) -> asyncio.Event:
    return GATES.setdefault(name, asyncio.Event())


@app.function
async def note(task: Task) -> Any:
    RAN.append((task.id, task.payload))
    return task.payload


@app.function
async def join(task: Task) -> bytes:
    return b"|".join(task.inputs)


@app.function
async def fail(task: Task) -> None:
    raise RuntimeError("as asked")


@app.function
async def hold(task: Task) -> bytes:
    """Runs until the test opens the gate that the payload names."""
    task.progress(0.25, "holding")
    await gate(task.payload).wait()
    return b"held"


@app.function
async def large(task: Task) -> bytes:
    return b"x" * task.payload


@app.function
async def pair(task: Task) -> list[bytes]:
    return [b"one", b"two"]


@app.function
async def odd(task: Task) -> list[int]:
    return [1, 2, 3]


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as rig, rig.worker(app, slots=8):
        yield rig


# -- order and failure


async def test_a_task_runs_after_what_it_needs_and_sees_it_in_order(rig: Rig) -> None:
    session = await rig.session()
    tasks = [spec("pair", outputs=2), spec(payload=1), spec("join", inputs=["@1", "@0.1", "@0", "@1"])]
    id = await rig.submit(session, tasks)
    assert (await rig.all_ended(session)).completed == 3
    assert await rig.value(ids.result_id(id, 2)) == b"1|two|one|1"


async def test_a_chain_runs_in_its_order(rig: Rig) -> None:
    session = await rig.session()
    chain = [spec(payload=n, inputs=[f"@{n - 1}"] if n else []) for n in range(30)]
    id = await rig.submit(session, chain)
    assert (await rig.all_ended(session)).completed == 30
    mine = [payload for task, payload in RAN if ids.submission_of(task) == id]
    assert mine == list(range(30))


async def test_a_failure_takes_with_it_what_needs_it_and_nothing_else(rig: Rig) -> None:
    session = await rig.session()
    tasks = [
        spec("fail"),
        spec(inputs=["@0"]),
        spec(inputs=["@1"], outputs=2),
        spec(payload="by itself"),
        spec("join", inputs=["@3", "@2.1"]),
    ]
    id = await rig.submit(session, tasks)
    counts = await rig.all_ended(session)
    assert (counts.completed, counts.failed) == (1, 4)
    assert "RuntimeError: as asked" in (await rig.task(ids.task_id(id, 0))).error
    for line, k, needs in ((0, 0, 1), (1, 0, 2), (2, 1, 4)):
        error = (await rig.task(ids.task_id(id, needs))).error
        lost, because = ids.result_id(id, line, k), ids.task_id(id, line)
        assert error == f"it needs result {lost}, which was aborted because of task {because}"
    failed = {ids.task_id(id, line) for line in (0, 1, 2, 4)}
    aborted = {ids.result_id(id, line, k) for line, k in ((0, 0), (1, 0), (2, 0), (2, 1), (4, 0))}
    await wait_until(lambda: set(rig.framed(session, "failed")) == failed)
    assert len(rig.framed(session, "failed")) == 4
    await wait_until(lambda: set(rig.framed(session, "aborted")) == aborted)
    for result in aborted:
        assert await rig.result_status(result) == "aborted"
    with pytest.raises(Conflict, match="ABORTED"):
        await rig.ask("result.value", c.ResultRef(ids.result_id(id, 0)), c.Value)


async def test_wrong_outputs_fail_their_task(rig: Rig) -> None:
    session = await rig.session()
    id = await rig.submit(session, [spec("odd", outputs=2)])
    assert (await rig.all_ended(session)).failed == 1
    assert "2 outputs" in (await rig.task(ids.task_id(id, 0))).error


async def test_a_task_that_takes_too_long_times_out(rig: Rig) -> None:
    session = await rig.session()
    id = await rig.submit(session, [spec("hold", "never", options={"max_duration": 0.2}), spec(inputs=["@0"])])
    first = await rig.until(ids.task_id(id, 0), "timeout")
    assert first.error == "it took longer than 0.2 s"
    assert (await rig.until(ids.task_id(id, 1))).status == "error"
    assert (await rig.counts(session)).failed == 2


async def test_progress_is_told_and_a_long_task_is_seen_processing(rig: Rig) -> None:
    session = await rig.session()
    name = str(uuid4())
    id = await rig.submit(session, [spec("hold", name)])
    seen = await rig.until(ids.task_id(id, 0), "processing")
    assert seen.worker
    assert seen.started_at
    received = await wait_until(lambda: rig.received(f"hr.evt.task.progress.{session}"))
    assert msgspec.json.decode(received[0], type=TaskProgress) == TaskProgress(session, seen.id, 0.25, "holding")
    assert rig.framed(session, "started") == [seen.id]
    said = await rig.ask("task.explain", c.TaskRef(seen.id), c.Explanation)
    assert said.summary == f"worker {seen.worker} has it"
    gate(name).set()
    assert (await rig.until(seen.id)).status == "completed"


# -- payloads and values


async def test_a_payload_that_is_a_result_given_later(rig: Rig) -> None:
    session = await rig.session()
    payload = await rig.result(session)
    id = await rig.submit(session, [c.TaskSpec(payload_result=str(payload), options=c.Options(function="note"))])
    task = await rig.task(ids.task_id(id, 0))
    assert (task.status, task.remaining) == ("pending", 1)
    said = await rig.ask("task.explain", c.TaskRef(task.id), c.Explanation)
    assert "somebody has to upload it" in said.reasons[0]
    await rig.complete(payload, b'{"given": "later"}')
    await rig.until(task.id, "completed")
    assert msgspec.json.decode(await rig.value(ids.result_id(id, 0))) == {"given": "later"}


async def test_large_values_pass_through_object_storage(rig: Rig, s3: Bucket) -> None:
    partition = await rig.partition()
    async with (
        open_objects(ObjectsSettings(**msgspec.structs.asdict(s3))) as objects,
        rig.worker(app, partition=partition, objects=objects),
    ):
        session = await rig.session(partition)
        given = ids.uuid7()
        key = result_key(session, given)
        await objects.put(key, b"u" * 70_000)
        await rig.result(session, id=given, object=key, size=70_000)
        id = await rig.submit(
            session, [spec("large", 100_000), spec("join", inputs=["@0", given]), spec("large", 16384)]
        )
        assert (await rig.all_ended(session)).completed == 3
        value = await rig.ask("result.value", c.ResultRef(ids.result_id(id, 1)), c.Value)
        assert (value.size, value.data) == (170_001, None)
        assert value.object is not None
        assert await objects.read(value.object, limit=200_000) == b"x" * 100_000 + b"|" + b"u" * 70_000
        inline = await rig.ask("result.get", c.ResultRef(ids.result_id(id, 2)), c.Result)
        assert inline.opaque == f"inline:{inline.id}"


async def test_a_join_of_300_inputs(rig: Rig) -> None:
    session = await rig.session()
    leaves = [spec(payload=n) for n in range(300)]
    id = await rig.submit(session, [*leaves, spec("join", inputs=[f"@{n}" for n in range(300)])])
    assert (await rig.all_ended(session)).completed == 301
    assert await rig.value(ids.result_id(id, 300)) == b"|".join(b"%d" % n for n in range(300))


async def test_inputs_too_large_together_to_ride_along_are_asked_for(rig: Rig) -> None:
    """40 values of 16 KiB: they take two pages."""
    session = await rig.session()
    id = await rig.submit(
        session, [*(spec("large", 16384) for _ in range(40)), spec("join", inputs=[f"@{n}" for n in range(40)])]
    )
    assert (await rig.all_ended(session)).completed == 41
    assert len(await rig.value(ids.result_id(id, 40))) == 40 * 16384 + 39


async def test_results_with_and_without_a_value(rig: Rig) -> None:
    session = await rig.session()
    mine = ids.uuid7()
    asked = c.ResultCreate(session, [c.NewResult("named", mine, b"value"), c.NewResult("empty")])
    made = (await rig.ask("result.create", asked, c.ResultList)).results
    assert [(r.name, r.status, r.size) for r in made] == [("named", "completed", 5), ("empty", "created", 0)]
    assert (await rig.ask("result.create", c.ResultCreate(session, asked.results[:1]), c.ResultList)).results[
        0
    ].id == mine
    for other in (c.NewResult("named", mine, b"other"), c.NewResult("other", mine, b"value")):
        with pytest.raises(AlreadyExists):
            await rig.ask("result.create", c.ResultCreate(session, [other]), c.ResultList)
    empty = c.ResultCreate(session, [c.NewResult("empty", made[1].id)])
    with pytest.raises(Conflict, match="CREATED"):
        await rig.value(made[1].id)
    for _ in range(2):  # the same value again is harmless
        assert (await rig.complete(made[1].id, b"late")).status == "completed"
    with pytest.raises(Conflict, match="COMPLETED"):
        await rig.complete(made[1].id, b"otherwise")
    assert await rig.value(made[1].id) == b"late"
    assert (await rig.ask("result.create", empty, c.ResultList)).results[0].status == "completed"
    fresh = ids.uuid7()
    for wrong, field in (
        (c.NewResult(data=b"x" * 16385), "results[0].data"),
        (c.NewResult(data=b"", object="results/x"), "results[0].object"),
        (c.NewResult(object="results/../etc"), "results[0].object"),
        (c.NewResult(object="/etc/passwd"), "results[0].object"),
        (c.NewResult(object=f"results/{session}/{fresh}/x"), "results[0].object"),
        (c.NewResult(id=fresh, object=result_key(session, mine)), "results[0].object"),
        (c.NewResult(id=fresh, object=result_key(fresh, fresh)), "results[0].object"),
        (c.NewResult(id=fresh, object=f"results/{session}/{fresh}/../{mine}/x"), "results[0].object"),
        (c.NewResult(id=fresh, object=f"results/{session}/{fresh}/"), "results[0].object"),
    ):
        with pytest.raises(Invalid) as raised:
            await rig.ask("result.create", c.ResultCreate(session, [wrong]), c.ResultList)
        assert raised.value.field == field
    with pytest.raises(Invalid, match="neither"):
        await rig.ask("result.complete", c.ResultComplete(made[1].id), c.Result)
    with pytest.raises(NotFound):
        await rig.complete(uuid4(), b"")
    late = await rig.result(session)
    with pytest.raises(Invalid, match="of this result"):
        await rig.ask("result.complete", c.ResultComplete(late, object=result_key(session, mine)), c.Result)
    own = c.ResultComplete(late, object=result_key(session, late), size=70_000)
    assert (await rig.ask("result.complete", own, c.Result)).status == "completed"


# -- turns


async def test_a_small_session_behind_a_large_one_starts_at_once(rig: Rig) -> None:
    partition = await rig.partition()
    async with rig.worker(app, partition=partition, slots=1):
        big, small = await rig.session(partition), await rig.session(partition)
        name = str(uuid4())
        await rig.submit(big, [spec("hold", name), *(spec(payload=n) for n in range(2000))])
        await wait_until(lambda: rig.framed(big, "started"))
        id = await rig.submit(small, [spec(payload="small")])
        gate(name).set()
        await rig.until(ids.task_id(id, 0), "completed")
        assert (await rig.counts(big)).completed < 2000
        assert (await rig.all_ended(big)).completed == 2001


async def test_the_higher_priority_is_chosen_first(rig: Rig) -> None:
    partition = await rig.partition()
    async with rig.worker(app, partition=partition, slots=1):
        session, name = await rig.session(partition), str(uuid4())
        # The first window is filled while the gate is shut; what comes after it is chosen by priority.
        await rig.submit(session, [spec("hold", name), *(spec(payload="filler") for _ in range(40))])
        await wait_until(lambda: rig.framed(session, "started"))
        low = await rig.submit(session, [spec(payload="low") for _ in range(5)], priority=1)
        high = await rig.submit(session, [spec(payload="high") for _ in range(5)], priority=90)
        gate(name).set()
        await rig.all_ended(session)
        order = [ids.submission_of(task) for task, _ in RAN if ids.submission_of(task) in (low, high)]
        assert order == [high] * 5 + [low] * 5


# -- sessions


async def test_close_cancels_what_waits_and_lets_what_runs_finish(rig: Rig) -> None:
    partition = await rig.partition()
    async with rig.worker(app, partition=partition, slots=1):
        session, name = await rig.session(partition), str(uuid4())
        alone = await rig.result(session)
        id = await rig.submit(session, [spec("hold", name), *(spec() for _ in range(50)), spec(inputs=["@0"])])
        await rig.until(ids.task_id(id, 0), "processing")
        closed = await rig.ask("session.close", c.SessionRef(session), c.Session)
        assert (closed.status, closed.client_submission, closed.worker_submission) == ("closed", False, False)
        counts = await rig.counts(session)
        assert (counts.running, counts.cancelled) == (1, 51)
        assert await rig.result_status(alone) == "aborted"
        assert await rig.result_status(ids.result_id(id, 51)) == "aborted"
        other = await rig.session(partition)  # the places of the cancelled are free at once
        after = await rig.submit(other, [spec(payload="after")])
        gate(name).set()
        await rig.until(ids.task_id(after, 0), "completed", timeout=4)
        assert (await rig.until(ids.task_id(id, 0))).status == "completed"
        assert (await rig.counts(session)).completed == 1
        with pytest.raises(Conflict, match="CLOSED"):
            await rig.ask("session.close", c.SessionRef(session), c.Session)
        received = await wait_until(lambda: rig.received(f"hr.evt.session.closed.{session}"))
        assert msgspec.json.decode(received[0], type=SessionChanged) == SessionChanged(
            session, "closed", closed.version
        )
        assert len(set(rig.framed(session, "cancelled"))) == 51
        with pytest.raises(Conflict, match="CLOSED"):
            await rig.result(session)
        with pytest.raises(Conflict, match="CLOSED"):
            await rig.complete(alone, b"late")
        assert (await rig.counts(session)).cancelled == 51


async def test_sessions_are_checked(rig: Rig) -> None:
    with pytest.raises(NotFound) as raised:
        await rig.ask("session.create", c.SessionCreate(["default", "nowhere"]), c.Session)
    assert raised.value.field == "partitions[1]"
    asked = c.SessionCreate(["default"], c.Options(partition="elsewhere"))
    with pytest.raises(Invalid) as said:
        await rig.ask("session.create", asked, c.Session)
    assert said.value.field == "options.partition"
    with pytest.raises(NotFound):
        await rig.ask("session.get", c.SessionRef(uuid4()), c.Session)
    for body in (b"{", b"[]", b'{"session": 3}', b'{"session": "x"}', b"\xff"):
        with pytest.raises(Invalid):
            await rig.ask("session.get", body, c.Session)
    with pytest.raises(Invalid, match="unknown"):
        await rig.ask("session.create", b'{"unknown": 1}', c.Session)


# -- lists


async def test_tasks_and_results_page_by_page(rig: Rig) -> None:
    session = await rig.session()
    alone = [await rig.result(session) for _ in range(3)]
    one = await rig.submit(session, [spec(payload=n) for n in range(5)])
    two = await rig.submit(session, [spec("pair", outputs=2), spec("fail")])
    await rig.all_ended(session)
    tasks: list[UUID] = []
    token = ""
    while True:
        page = await rig.ask("task.list", c.TaskQuery(session=session, size=2, token=token), c.TaskPage)
        assert len(page.items) <= 2
        tasks += [task.id for task in page.items]
        if not (token := page.next):
            break
    assert tasks == [*(ids.task_id(one, n) for n in range(5)), *(ids.task_id(two, n) for n in range(2))]
    results: list[UUID] = []
    while True:
        found = await rig.ask("result.list", c.ResultQuery(session=session, size=2, token=token), c.ResultPage)
        results += [result.id for result in found.items]
        if not (token := found.next):
            break
    own = [ids.result_id(one, n) for n in range(5)] + [
        ids.result_id(two, 0),
        ids.result_id(two, 0, 1),
        ids.result_id(two, 1),
    ]
    assert results == sorted(alone + own)
    failed = await rig.ask("task.list", c.TaskQuery(session=session, status="error"), c.TaskPage)
    assert [task.id for task in failed.items] == [ids.task_id(two, 1)]
    named = await rig.ask("result.list", c.ResultQuery(session=session, ids=[alone[0], uuid4(), own[0]]), c.ResultPage)
    assert {result.id for result in named.items} == {alone[0], own[0]}
    with pytest.raises(Invalid) as raised:
        await rig.ask("task.list", c.TaskQuery(session=session, status="lost"), c.TaskPage)
    assert raised.value.field == "status"
    with pytest.raises(Invalid):
        await rig.ask("task.list", c.TaskQuery(session=session, token="x"), c.TaskPage)
    with pytest.raises(Invalid) as said:
        await rig.ask("task.list", {"session": session, "size": 0}, c.TaskPage)
    assert said.value.field == "size"


async def test_sessions_are_listed_to_their_owner_newest_first(rig: Rig) -> None:
    user = f"u{uuid4().hex[:8]}"
    made = [await rig.session(user=user) for _ in range(3)]
    first = await rig.ask("session.list", c.SessionList(size=2), c.SessionPage, user=user)
    rest = await rig.ask("session.list", c.SessionList(size=2, token=first.next), c.SessionPage, user=user)
    assert [s.id for s in first.items + rest.items] == made[::-1]
    assert rest.next == ""
    none = await rig.ask("session.list", c.SessionList(status="closed"), c.SessionPage, user=user)
    assert none.items == []
    everybody = await rig.ask("session.list", c.SessionList(size=1000), c.SessionPage, user="admin")
    assert set(made) <= {s.id for s in everybody.items}


async def test_what_another_owns_does_not_exist(rig: Rig) -> None:
    session = await rig.session(user="ann")
    result = await rig.result(session, b"mine")
    id = await rig.submit(session, [spec()])
    asked: list[tuple[str, Any, Any]] = [
        ("session.get", c.SessionRef(session), c.Session),
        ("session.close", c.SessionRef(session), c.Session),
        ("result.get", c.ResultRef(result), c.Result),
        ("result.value", c.ResultRef(result), c.Value),
        ("result.complete", c.ResultComplete(result, data=b""), c.Result),
        ("result.create", c.ResultCreate(session, [c.NewResult()]), c.ResultList),
        ("result.list", c.ResultQuery(session=session), c.ResultPage),
        ("task.get", c.TaskRef(ids.task_id(id, 0)), c.Task),
        ("task.explain", c.TaskRef(ids.task_id(id, 0)), c.Explanation),
        ("task.list", c.TaskQuery(session=session), c.TaskPage),
    ]
    for name, request, reply in asked:
        with pytest.raises(NotFound):
            await rig.ask(name, request, reply, user="bob")
    assert (await rig.ask("session.get", c.SessionRef(session), c.Session, user="admin")).status == "running"


async def test_only_an_admin_makes_partitions(rig: Rig) -> None:
    with pytest.raises(Forbidden):
        await rig.ask("partition.create", c.PartitionCreate("mine"), c.Partition, user="ann")
    assert "mine" not in [p.name for p in (await rig.ask("partition.list", Page(size=1000), c.PartitionPage)).items]


# -- explain


async def test_explain_says_why_a_task_does_not_move(rig: Rig) -> None:
    partition = await rig.partition()
    session = await rig.session(partition)
    id = await rig.submit(session, [spec(), spec("odd", outputs=2), spec(inputs=["@0"])])

    async def said(line: int) -> c.Explanation:
        return await rig.ask("task.explain", c.TaskRef(ids.task_id(id, line)), c.Explanation)

    await rig.until(ids.task_id(id, 0), "submitted")
    assert (await said(0)).reasons == [f"partition {partition!r} has no live worker"]
    waits = await said(2)
    assert waits.summary == "it waits for 1 result(s)"
    assert str(ids.task_id(id, 0)) in waits.reasons[0]
    assert "SUBMITTED" in waits.reasons[0]
    async with rig.worker(app, partition=partition):
        await rig.all_ended(session)
        assert (await said(0)).summary == "it has ended: COMPLETED"
        ended = await said(1)
        assert ended.summary == "it has ended: ERROR"
        assert "2 outputs" in ended.reasons[0]
        seen = (await rig.ask("partition.list", Page(), c.PartitionPage)).items
        assert next(p for p in seen if p.name == partition).workers == 1
