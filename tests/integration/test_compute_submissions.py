"""Submissions: what is taken, what is refused and with which field, whole or in chunks."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from shared.contracts import compute as c
from shared.contracts import headers as h
from shared.contracts import ids
from shared.contracts.errors import AlreadyExists, Conflict, HeadraceError, Invalid, NotFound
from shared.contracts.events import SubmissionMade
from shared.worker import App, Task
from tests.support.compute_rig import Rig, open_rig, spec
from tests.support.servers import Servers
from tests.support.wait import wait_until

app = App()


@app.function
async def note(task: Task) -> Any:
    return task.payload


@app.function
async def fail(task: Task) -> None:
    raise RuntimeError("as asked")


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as rig, rig.worker(app):
        yield rig


async def refused(rig: Rig, kind: type[HeadraceError], field: str, *tasks: c.TaskSpec, **more: Any) -> HeadraceError:
    """A submission that is refused leaves nothing behind."""
    session = more.pop("session", None) or await rig.session()
    with pytest.raises(kind) as raised:
        await rig.submit(session, tasks, **more)
    assert raised.value.field == field, raised.value
    assert (await rig.counts(session)).total == 0
    return raised.value


async def test_its_tasks_run_and_their_ids_follow_from_its_own(rig: Rig) -> None:
    session = await rig.session()
    id = ids.submission_id()
    assert await rig.submit(session, [spec(payload=n) for n in range(20)], id=id) == id
    assert (await rig.all_ended(session)).completed == 20
    assert await rig.value(ids.result_id(id, 7)) == b"7"
    task = await rig.task(ids.task_id(id, 7))
    assert (task.status, task.name, task.outputs) == ("completed", str(task.id), [ids.result_id(id, 7)])
    seen = await rig.ask("submission.get", c.SubmissionRef(id), c.Submission)
    assert (seen.status, seen.chunks, seen.tasks) == ("visible", 1, 20)
    made = [msgspec.json.decode(m, type=SubmissionMade) for m in rig.received(f"hr.evt.submission.visible.{session}")]
    assert made == [SubmissionMade(session, id, 20)]


async def test_options_are_inherited_task_then_submission_then_session(rig: Rig) -> None:
    session = await rig.session(function="note", priority=3, max_retries=5, labels={"a": "session", "b": "session"})
    own = c.TaskSpec(options=c.Options(priority=9, max_duration=60, labels={"a": "task"}))
    id = await rig.submit(session, [c.TaskSpec(), own], priority=6)
    first, second = await rig.task(ids.task_id(id, 0)), await rig.task(ids.task_id(id, 1))
    assert (first.function, first.priority, first.max_retries, first.max_duration) == ("note", 6, 5, None)
    assert (second.function, second.priority, second.max_retries, second.max_duration) == ("note", 9, 5, 60)


async def test_refusals_name_the_line_and_the_field(rig: Rig) -> None:
    good = spec()
    await refused(rig, Invalid, "tasks[1].options.function", good, c.TaskSpec())
    await refused(rig, Invalid, "tasks[1].options.partition", good, spec(options={"partition": "elsewhere"}))
    await refused(rig, Invalid, "tasks[1].inputs[1]", good, spec(inputs=["@0", "@1"]))
    await refused(rig, Invalid, "tasks[0].inputs[0]", spec(inputs=["@5"]))
    await refused(rig, Invalid, "tasks[1].inputs[0]", good, spec(inputs=["@0.1"]))
    for wrong in ("@", "@-1", "@0.", "@0.x", "@1e3", "@0.0.0", "@999999999", "not-an-id", ""):
        if wrong == "@0.":  # no output said: the first
            continue
        await refused(rig, Invalid, "tasks[1].inputs[0]", good, spec(inputs=[wrong]))
        await refused(rig, Invalid, "tasks[1].payload_result", good, spec(payload_result=wrong))
    await refused(rig, Invalid, "tasks[0].payload", spec(payload="x" * 16384))
    unknown = uuid4()
    assert (
        str(unknown) in (await refused(rig, NotFound, "tasks[2].inputs[0]", good, good, spec(inputs=[unknown]))).message
    )


async def test_a_result_of_another_session_cannot_be_waited_for(rig: Rig) -> None:
    other = await rig.result(await rig.session())
    await refused(rig, NotFound, "tasks[0].inputs[0]", spec(inputs=[other]))
    theirs = await rig.result(await rig.session())
    await refused(rig, Conflict, "tasks[0].outputs", spec(outputs=[theirs]))


async def test_an_aborted_dependency_is_refused(rig: Rig) -> None:
    session = await rig.session()
    id = await rig.submit(session, [spec("fail")])
    await rig.until(ids.task_id(id, 0), "error")
    with pytest.raises(Conflict, match="ABORTED") as raised:
        await rig.submit(session, [spec(), spec(inputs=[ids.result_id(id, 0)])])
    assert raised.value.field == "tasks[1].inputs[0]"
    assert (await rig.counts(session)).total == 1


async def test_a_complete_dependency_counts_as_met(rig: Rig) -> None:
    session = await rig.session()
    there = await rig.result(session, b"there")
    id = await rig.submit(session, [spec(inputs=[there, there])])
    assert (await rig.until(ids.task_id(id, 0))).status == "completed"


async def test_outputs_claimed_twice_and_outputs_that_are_taken(rig: Rig) -> None:
    session = await rig.session()
    mine, full = await rig.result(session), await rig.result(session, b"full")
    await refused(rig, Conflict, "tasks[1].outputs[0]", spec(outputs=[mine]), spec(outputs=[mine]), session=session)
    await refused(rig, Conflict, "tasks[0].outputs[1]", spec(outputs=[mine, mine]), session=session)
    await refused(rig, Conflict, "tasks[0].outputs", spec(outputs=[full]), session=session)
    id = await rig.submit(session, [spec(payload="made", outputs=[mine])])
    await rig.until(ids.task_id(id, 0), "completed")
    assert await rig.value(mine) == b'"made"'
    with pytest.raises(Conflict, match="cannot be an output"):
        await rig.submit(session, [spec(outputs=[mine])])


async def test_a_claimed_output_is_its_tasks_alone(rig: Rig) -> None:
    session = await rig.session()
    gate, claimed = await rig.result(session), await rig.result(session)
    id = await rig.submit(session, [spec(payload=1, inputs=[gate], outputs=[claimed])])
    with pytest.raises(Conflict, match=str(ids.task_id(id, 0))):
        await rig.complete(claimed, b"mine")
    await rig.complete(gate, b"")
    await rig.until(ids.task_id(id, 0), "completed")
    assert await rig.value(claimed) == b"1"


async def test_a_cycle_is_refused_within_a_submission_and_across_two(rig: Rig) -> None:
    session = await rig.session()
    a, b = await rig.result(session), await rig.result(session)
    await refused(rig, Conflict, "tasks[0].inputs", spec(inputs=[a], outputs=[a]), session=session)
    both = (spec(inputs=[b], outputs=[a]), spec(inputs=[a], outputs=[b]))
    assert "itself" in (await refused(rig, Conflict, "tasks[0].inputs", *both, session=session)).message
    await rig.submit(session, [spec(inputs=[b], outputs=[a])])
    with pytest.raises(Conflict, match="itself"):
        await rig.submit(session, [spec(), spec(inputs=["@0", a], outputs=[b])])
    # What was refused did not keep its claim.
    id = await rig.submit(session, [spec(payload=2, outputs=[b])])
    await rig.all_ended(session)
    assert await rig.value(b) == b"2"
    assert (await rig.task(ids.task_id(id, 0))).status == "completed"


async def test_a_cycle_through_lines_that_claim_nothing(rig: Rig) -> None:
    session = await rig.session()
    a, b = await rig.result(session), await rig.result(session)
    await rig.submit(session, [spec(inputs=[b]), spec(inputs=["@0"], outputs=[a])])
    lines = (spec(inputs=[a]), spec(inputs=["@0"]), spec(inputs=["@1"], outputs=[b]))
    with pytest.raises(Conflict, match="line 2 would wait for itself"):
        await rig.submit(session, lines)


async def test_the_same_submission_again_does_nothing_other_content_is_refused(rig: Rig) -> None:
    session = await rig.session()
    id = ids.submission_id()
    for _ in range(2):
        await rig.submit(session, [spec(payload="same")], id=id)
    with pytest.raises(AlreadyExists):
        await rig.submit(session, [spec(payload="other")], id=id)
    with pytest.raises(AlreadyExists):
        await rig.submit(session, [spec(payload="same")], id=id, priority=50)
    with pytest.raises(AlreadyExists):
        await rig.submit(await rig.session(), [spec(payload="same")], id=id)
    assert (await rig.all_ended(session)).completed == 1
    with pytest.raises(Invalid) as raised:
        await rig.submit(session, [spec()], id=uuid4())
    assert raised.value.field == "id"


# -- chunks


async def test_chunks_may_come_out_of_order_and_refer_to_each_other(rig: Rig) -> None:
    session, id = await rig.session(), ids.submission_id()
    assert (await rig.chunk(session, id, 0, 0, [spec(payload=n, outputs=2) for n in ([1, 2], [3, 4])])).status == "open"
    last = [spec(payload="end", inputs=["@0.1", "@2", "@4"])]
    await rig.chunk(session, id, 2, 4, [spec(payload=5)])
    await rig.chunk(session, id, 1, 2, [spec(payload=6), spec(payload=7, inputs=["@1.1"])])
    assert (await rig.counts(session)).completed == 0
    made = await rig.chunk(session, id, 3, 5, last, last=True)
    assert (made.status, made.chunks, made.tasks) == ("visible", 4, 6)
    assert (await rig.all_ended(session)).completed == 6
    assert await rig.value(ids.result_id(id, 5)) == b'"end"'


async def test_nothing_is_dispatched_before_the_last_chunk(rig: Rig) -> None:
    partition = await rig.partition()
    session, id = await rig.session(partition), ids.submission_id()
    async with rig.worker(app, partition=partition):
        await rig.chunk(session, id, 0, 0, [spec(payload=n) for n in range(10)])
        marker = await rig.session(partition)
        await rig.submit(marker, [spec()])
        await rig.all_ended(marker)
        assert (await rig.counts(session)).total == 0  # it is not shown
        said = await rig.ask("task.explain", c.TaskRef(ids.task_id(id, 3)), c.Explanation)
        assert said.summary == "its submission is not complete"
        await rig.chunk(session, id, 1, 10, [spec()], last=True)
        assert (await rig.all_ended(session)).completed == 11


async def test_a_chunk_sent_again_does_nothing_other_content_is_refused(rig: Rig) -> None:
    session, id = await rig.session(), ids.submission_id()
    first = [spec(payload=n) for n in range(3)]
    for _ in range(2):
        await rig.chunk(session, id, 0, 0, first)
    with pytest.raises(AlreadyExists) as raised:
        await rig.chunk(session, id, 0, 0, first[:2])
    assert raised.value.field == h.CHUNK
    for _ in range(2):
        assert (await rig.chunk(session, id, 1, 3, first, last=True)).tasks == 6
    with pytest.raises(Conflict, match="complete"):
        await rig.chunk(session, id, 2, 6, first, last=True)
    assert (await rig.all_ended(session)).completed == 6


async def test_the_last_chunk_before_all_others_is_refused_with_all_of_it(rig: Rig) -> None:
    session, id = await rig.session(), ids.submission_id()
    await rig.chunk(session, id, 0, 0, [spec()])
    with pytest.raises(Conflict, match="2 of 3 chunks"):
        await rig.chunk(session, id, 2, 2, [spec()], last=True)

    async def gone() -> bool:
        return (await rig.ask("submission.get", c.SubmissionRef(id), c.Submission)).status == "refused"

    await wait_until(gone)
    assert (await rig.counts(session)).total == 0
    with pytest.raises(Conflict, match="refused"):
        await rig.chunk(session, id, 1, 1, [spec()], last=True)


async def test_lines_that_do_not_join_are_refused(rig: Rig) -> None:
    session, id = await rig.session(), ids.submission_id()
    await rig.chunk(session, id, 0, 0, [spec()])
    with pytest.raises(Conflict, match="do not join"):
        await rig.chunk(session, id, 1, 5, [spec()], last=True)
    alone = ids.submission_id()
    with pytest.raises(Conflict):
        await rig.chunk(session, alone, 1, 1, [spec()], last=True)


async def test_a_reference_to_an_output_that_another_chunk_does_not_have(rig: Rig) -> None:
    session, id = await rig.session(), ids.submission_id()
    await rig.chunk(session, id, 0, 0, [spec(), spec(outputs=0)])
    with pytest.raises(Invalid, match="line 2 ") as raised:
        await rig.chunk(session, id, 1, 2, [spec(inputs=["@1"])], last=True)
    assert raised.value.field == "tasks[0].inputs"
    assert (await rig.counts(session)).total == 0


async def test_a_refused_chunk_takes_what_came_before_with_it_and_frees_its_claims(rig: Rig) -> None:
    session, id = await rig.session(), ids.submission_id()
    gate, mine = await rig.result(session), await rig.result(session)
    await rig.chunk(session, id, 0, 0, [spec(inputs=[gate]), spec(outputs=[mine])])
    with pytest.raises(NotFound) as raised:
        await rig.chunk(session, id, 1, 2, [spec(), spec(inputs=[uuid4()])], last=True)
    assert raised.value.field == "tasks[1].inputs[0]"
    await rig.complete(gate, b"")
    again = await rig.submit(session, [spec(payload="again", outputs=[mine])])
    assert (await rig.all_ended(session)).total == 1
    assert await rig.value(mine) == b'"again"'
    assert (await rig.task(ids.task_id(again, 0))).status == "completed"


async def test_a_dependency_that_ends_while_chunks_arrive(rig: Rig) -> None:
    """Met, or aborted, before the submission could be seen: its tasks run, or fail, once it is visible."""
    session, id = await rig.session(), ids.submission_id()
    gate, fate = await rig.result(session), await rig.result(session)
    doomed = await rig.submit(session, [spec("fail", inputs=[gate], outputs=[fate])])
    await rig.chunk(session, id, 0, 0, [spec(payload="ran", inputs=[gate]), spec(inputs=[fate])])
    assert await rig.status(ids.task_id(id, 0)) == "creating"
    await rig.complete(gate, b"")
    await rig.until(ids.task_id(doomed, 0), "error")
    await rig.chunk(session, id, 1, 2, [spec(payload="last", inputs=["@0"]), spec(inputs=["@1"])], last=True)
    counts = await rig.all_ended(session)
    assert (counts.completed, counts.failed) == (2, 3)
    assert await rig.value(ids.result_id(id, 2)) == b'"last"'
    assert await rig.status(ids.task_id(id, 3)) == "error"


async def test_malformed_lines_name_their_line(rig: Rig) -> None:
    async def received(data: bytes) -> str:
        session = await rig.session()
        with pytest.raises(Invalid) as said:
            await rig.chunk(session, ids.submission_id(), 0, 0, data, last=True)
        assert (await rig.counts(session)).total == 0
        return said.value.field

    good = msgspec.json.encode(spec())
    assert await received(good + b"\n{") == "tasks[1]"
    assert await received(good + b"\n" + good + b'\n{"payload": 1, "unknown": 2}') == "tasks[2].unknown"
    assert (await received(good + b'\n{"inputs": 3}')).startswith("tasks[1]")
    assert (await received(b'{"options": {"priority": 100}}')).startswith("tasks[0].options.priority")
    assert await received(good + b'\n{"payload_result": "\xff"}') == "tasks[1]"
    assert await received(good + b'\n{"payload": ' + b"[" * 5000 + b"]" * 5000 + b"}") == "tasks[1]"
    assert await received(b"") == "tasks"


async def test_a_body_that_is_no_text_or_nested_too_deeply_is_refused(rig: Rig) -> None:
    for wrong in (b'{"name": "\xff"}', b'{"options": ' + b"[" * 5000):
        with pytest.raises(Invalid):
            await rig.ask("session.create", wrong, c.Session)


async def test_an_output_whose_id_somebody_took_before_names_it(rig: Rig) -> None:
    session, id = await rig.session(), ids.submission_id()
    taken = ids.result_id(id, 1)
    await rig.ask("result.create", c.ResultCreate(session, [c.NewResult(id=taken)]), c.ResultList)
    received = await refused(rig, AlreadyExists, "id", spec(), spec(), session=session, id=id)
    assert str(taken) in received.message
    other = ids.submission_id()
    await rig.chunk(session, other, 0, 0, [spec(), spec()])
    with pytest.raises(Conflict, match="line 1 already"):
        await rig.chunk(session, other, 1, 1, [spec()], last=True)


async def test_headers_of_a_chunk_are_checked(rig: Rig) -> None:
    session, id = str(await rig.session()), str(ids.submission_id())
    whole = {h.SESSION: session, h.SUBMISSION: id, h.CHUNK: "0", h.FIRST: "0", h.LAST: "1"}
    for name, wrong in (
        (h.SESSION, ""),
        (h.SUBMISSION, "x"),
        (h.CHUNK, "-1"),
        (h.CHUNK, "99999999999999"),
        (h.FIRST, "one"),
        (h.OPTIONS, '{"priority": 0}'),
    ):
        headers = {**whole, name: wrong}
        with pytest.raises(Invalid) as raised:
            await rig.ask("submission.chunk", msgspec.json.encode(spec()), c.Submission, headers=headers)
        assert raised.value.field == name, (name, wrong, raised.value)


async def test_a_session_that_closes_between_two_chunks(rig: Rig) -> None:
    session, id = await rig.session(), ids.submission_id()
    await rig.chunk(session, id, 0, 0, [spec()])
    await rig.ask("session.close", c.SessionRef(session), c.Session)
    with pytest.raises(Conflict, match="CLOSED"):
        await rig.chunk(session, id, 1, 1, [spec()], last=True)
    with pytest.raises(Conflict, match="CLOSED"):
        await rig.submit(session, [spec()])
    counts = await rig.counts(session)
    assert counts.total == counts.cancelled


async def test_somebody_elses_session_takes_nothing(rig: Rig) -> None:
    session = await rig.session(user="ann")
    with pytest.raises(NotFound):
        await rig.submit(session, [spec()], user="bob")
    with pytest.raises(NotFound):
        await rig.chunk(session, ids.submission_id(), 0, 0, [spec()], last=True, user="bob")
    id: UUID = await rig.submit(session, [spec()])
    with pytest.raises(NotFound):
        await rig.ask("submission.get", c.SubmissionRef(id), c.Submission, user="bob")
    assert (await rig.ask("submission.get", c.SubmissionRef(id), c.Submission, user="admin")).id == id
