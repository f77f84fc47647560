"""Tasks that submit tasks: real with their parent's completion, or never seen; expected outputs left to children."""

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from shared.contracts import compute as c
from shared.contracts import ids, subjects
from shared.contracts.errors import AlreadyExists, Conflict, HeadraceError, Invalid, NotFound
from shared.contracts.work import Completed, Failed, Output, ReportBatch, Spawn, Spawned
from shared.db.pool import open_pool
from shared.worker import App, Task
from tests.support.compute_functions import app as children
from tests.support.compute_rig import Rig, open_rig, spec
from tests.support.compute_sweep import sweep
from tests.support.servers import Servers
from tests.support.wait import wait_until

app = App()
app.functions |= {name: children.functions[name] for name in ("divide", "add")}
GATES: dict[str, asyncio.Event] = {}
MADE: dict[UUID, list[UUID]] = {}
"""What tasks have submitted, by task."""


def gate(name: str) -> asyncio.Event:
    return GATES.setdefault(name, asyncio.Event())


@app.function
async def note(task: Task) -> Any:
    return task.payload


@app.function
async def join(task: Task) -> bytes:
    return b"|".join(task.inputs)


@app.function
async def crowd(task: Task) -> None:
    """So many children, and one that joins what the first of them have made: its output."""
    parts = [task.submit("note", n) for n in range(task.payload)]
    task.submit("join", inputs=parts[:100], outputs=task.expected)


@app.function
async def listed(task: Task) -> None:
    """A child that joins, in this order, more inputs than a line names; and the list is larger than a message's value."""
    part = task.submit("note", "part")
    task.submit("count", inputs=[task.input_ids[0], *[part] * task.payload, task.input_ids[0]], outputs=task.expected)


@app.function
async def count(task: Task) -> bytes:
    return b"%d %b" % (len(task.inputs), b"".join(dict.fromkeys([task.inputs[0], task.inputs[1], task.inputs[-2]])))


@app.function
async def down(task: Task) -> Any:
    """Leaves its output to a child that does the same, so many times."""
    if task.payload == 0:
        return "bottom"
    task.submit("down", task.payload - 1, outputs=task.expected)
    return None


@app.function
async def tree(task: Task) -> Any:
    """Two subtrees and their sum: 2 ** payload in the end."""
    if task.payload == 0:
        return 1
    halves = [task.submit("tree", task.payload - 1) for _ in range(2)]
    task.submit("add", 0, inputs=halves, outputs=task.expected)
    return None


@app.function
async def wait(task: Task) -> None:
    """Submits, then runs until the test opens the gate that the payload names. The child knows the attempt."""
    MADE.setdefault(task.id, []).append(task.submit("note", task.attempt, outputs=task.expected).id)
    await gate(task.payload).wait()


@app.function
async def leave(task: Task) -> None:
    """Leaves its output to a child that fails at its first attempt."""
    MADE[task.id] = [task.submit("fail", outputs=task.expected).id]


@app.function
async def fail(task: Task) -> int:
    if task.attempt:
        return task.attempt
    MADE.setdefault(task.id, []).append(task.submit("note").id)
    raise RuntimeError("as asked")


@app.function
async def wrong(task: Task) -> None:
    """Submits what is refused, in the way that the payload names."""
    stranger = uuid4()
    match task.payload:
        case "partition":
            task.submit("note")
            task.submit("note", partition="nowhere")
        case "dependency":
            task.submit("note", inputs=[stranger])
        case "output":
            task.submit("note", outputs=[stranger])
        case "twice":
            task.submit("note", outputs=task.expected)
            task.submit("note", outputs=task.expected)
        case "cycle":
            round = task.create_result()
            task.submit("join", inputs=[round], outputs=task.expected)
            task.submit("join", inputs=task.expected, outputs=[round])
        case "itself":
            task.submit("join", inputs=task.expected, outputs=task.expected)
        case "priority":
            task.submit("note", priority=1000)
        case "payload":
            task.submit("note", "x" * 20_000)
        case "taken":
            task.submit("note", outputs=[task.create_result("has a value")])


@app.function
async def results(task: Task) -> bytes:
    """Results with and without values, of which children make use, and one output delegated out of two."""
    small, large, later = (
        task.create_result({"a": 1}, name="small"),
        task.create_result(b"l" * 50_000),
        task.create_result(),
    )
    maker = task.submit("note", "made", outputs=[later])
    MADE[task.id] = [small, large, later]
    task.submit("join", inputs=[small, maker, large, *task.expected[:1]], outputs=task.expected[1:])
    return b"own"


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as rig, rig.worker(app, slots=8):
        yield rig


@pytest.fixture
async def db(rig: Rig) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(rig.database.admin_url)
    await connection.execute("SET search_path TO scheduler")
    yield connection
    await connection.close()


async def left(db: Any, submission: UUID) -> dict[str, int]:
    """Rows that a submission has, by table."""
    spans = {"tasks": ("id", 0), "results": ("id", 1 << 32), "dependencies": ("task", 0)}
    found = {}
    for table, (column, base) in spans.items():
        low, high = UUID(int=submission.int | base), UUID(int=submission.int | base | (1 << 32) - 1)
        query = f"SELECT count(*) FROM {table} WHERE {column} BETWEEN $1 AND $2"
        found[table] = await db.fetchval(query, low, high)
    for table, column in {
        "submissions": "id",
        "chunks": "submission",
        "lanes": "submission",
        "promised": "submission",
    }.items():
        found[table] = await db.fetchval(f"SELECT count(*) FROM {table} WHERE {column} = $1", submission)
    return {table: n for table, n in found.items() if n}


async def gone(rig: Rig, db: Any, submission: UUID) -> None:
    """The sweep has nothing left to take: once it was there, all of it is gone."""
    async with await open_pool(rig.database.url("scheduler"), "scheduler", max_size=1) as pool:
        once = sweep(rig, pool)

        async def nothing() -> bool:  # the parent's end may not have been stored yet
            await once.run_once()
            return not await left(db, submission)

        await wait_until(nothing, every=0.1, on_timeout=lambda: left(db, submission))


# -- what becomes real


async def test_an_output_left_to_a_child_reaches_who_waited_for_it(rig: Rig) -> None:
    session = await rig.session()
    id = await rig.submit(session, [spec("results", outputs=2), spec("join", inputs=["@0.1"])])
    assert (await rig.all_ended(session)).completed == 4
    value = b'{"a":1}|"made"|' + b"l" * 50_000 + b"|own"
    assert await rig.value(ids.result_id(id, 1)) == await rig.value(ids.result_id(id, 0, 1)) == value
    small, large, later = MADE[ids.task_id(id, 0)]
    assert (await rig.ask("result.get", c.ResultRef(small), c.Result)).name == "small"
    big = await rig.ask("result.get", c.ResultRef(large), c.Result)
    assert (big.size, big.checksum) == (50_000, hashlib.sha256(b"l" * 50_000).hexdigest())
    listed = await rig.ask("result.list", c.ResultQuery(session=session), c.ResultPage)
    assert {small, large, later} < {one.id for one in listed.items}
    assert len({one.id for one in listed.items}) == len(listed.items) == 6
    joined = (await rig.ask("result.get", c.ResultRef(ids.result_id(id, 0, 1)), c.Result)).owner_task
    assert joined is not None
    assert (await rig.task(joined)).parent == ids.task_id(id, 0)
    assert (await rig.task(ids.task_id(id, 0))).parent is None
    said = await rig.ask("task.explain", c.TaskRef(joined), c.Explanation)
    assert said.task.parent == ids.task_id(id, 0)
    received = rig.framed(session, "results")
    assert {small, large, ids.result_id(id, 0, 0)} < set(received)
    assert len(received) == len(set(received))


async def test_a_child_that_fails_takes_with_it_who_waits_and_may_be_run_again(rig: Rig) -> None:
    session = await rig.session()
    id = await rig.submit(session, [spec("leave"), spec("join", inputs=["@0"])])
    counts = await rig.all_ended(session)
    assert (counts.completed, counts.failed) == (1, 2)
    (child,) = MADE[ids.task_id(id, 0)]
    assert await rig.result_status(ids.result_id(id, 0)) == "aborted"
    await rig.ask("task.rerun", c.TaskRerun(session, [child]), c.TaskChanges)
    await rig.until(ids.task_id(id, 1), "completed")
    assert await rig.value(ids.result_id(id, 1)) == b"1"
    assert (await rig.task(child)).parent == ids.task_id(id, 0)


async def test_a_blocking_function_submits_as_well(rig: Rig) -> None:
    session = await rig.session()
    id = await rig.submit(session, [spec(payload=100), spec("divide", 5, inputs=["@0"], outputs=2)])
    assert (await rig.all_ended(session)).completed == 8
    assert await rig.value(ids.result_id(id, 1, 0)) == b"560"
    assert await rig.value(ids.result_id(id, 1, 1)) == b"mine"


async def test_a_chain_of_delegations_and_subtasks_of_subtasks(rig: Rig) -> None:
    session = await rig.session()
    id = await rig.submit(session, [spec("down", 3), spec("join", inputs=["@0"]), spec("tree", 4)])
    counts = await rig.all_ended(session, timeout=60)
    assert (counts.completed, counts.total) == (2 + 3 + 1 + 15 * 3, 2 + 3 + 1 + 15 * 3)
    assert await rig.value(ids.result_id(id, 1)) == b'"bottom"'
    assert await rig.value(ids.result_id(id, 2)) == b"16"


async def test_a_child_may_have_more_inputs_than_a_message_has_room_for(rig: Rig) -> None:
    session, many = await rig.session(), 16_000
    given = await rig.result(session, b"given")
    id = await rig.submit(session, [spec("listed", many, [given])])
    assert (await rig.all_ended(session)).completed == 3
    assert await rig.value(ids.result_id(id, 0)) == b'%d given"part"' % (many + 2)


async def test_ten_thousand_children_take_seconds(rig: Rig) -> None:
    session = await rig.session()
    began = time.monotonic()
    id = await rig.submit(session, [spec("crowd", 10_000)])
    assert (await rig.all_ended(session, timeout=60)).completed == 10_002
    seconds = time.monotonic() - began
    print(f"10,000 subtasks: {seconds:.2f} s")
    assert await rig.value(ids.result_id(id, 0)) == b"|".join(b"%d" % n for n in range(100))
    assert seconds < 30


async def test_children_of_a_paused_session_are_there_and_wait(rig: Rig, db: Any) -> None:
    session, name = await rig.session(), str(uuid4())
    id = await rig.submit(session, [spec("wait", name)])
    await rig.until(ids.task_id(id, 0), "processing")
    await rig.ask("session.pause", c.SessionRef(session), c.Session)
    gate(name).set()
    await rig.until(ids.task_id(id, 0), "completed")
    (child,) = MADE[ids.task_id(id, 0)]
    assert await rig.status(child) == "paused"
    await rig.ask("session.resume", c.SessionRef(session), c.Session)
    await rig.until(child, "completed")
    assert await rig.value(ids.result_id(id, 0)) == b"0"


# -- what is never seen


async def test_a_parent_that_fails_leaves_nothing(rig: Rig, db: Any) -> None:
    session = await rig.session()
    id = await rig.submit(session, [spec("fail")])
    await rig.until(ids.task_id(id, 0), "error")
    (child,) = MADE[ids.task_id(id, 0)]
    with pytest.raises(NotFound):
        await rig.task(child)
    assert await left(db, ids.submission_of(child)) == {}
    assert (await rig.counts(session)).total == 1


@pytest.mark.parametrize(
    ("way", "place"),
    [
        ("partition", r"subtasks\[1\].options.partition: .*'nowhere'"),
        ("dependency", r"subtasks\[0\].inputs\[0\]: result .* is neither"),
        ("output", r"subtasks\[0\].outputs: result .* is neither an expected output"),
        ("twice", r"subtasks\[1\].outputs\[0\]: result .* claimed by two tasks"),
        ("cycle", r"subtasks\[0\].inputs: line 0 needs result .*, which is produced by line 1, a later one"),
        ("itself", r"subtasks\[0\].inputs: line 0 needs result .*, which is produced by itself"),
        ("priority", r"subtasks\[0\].options.priority"),
        ("payload", r"subtasks\[0\].payload: a payload may have 16384 bytes"),
        ("taken", r"subtasks\[0\].outputs: result .* has a value"),
    ],
)
async def test_an_error_in_what_it_submits_fails_the_task_and_says_where(rig: Rig, way: str, place: str) -> None:
    session = await rig.session()
    id = await rig.submit(session, [spec("wrong", way), spec("join", inputs=["@0"])])
    ended = await rig.until(ids.task_id(id, 0))
    assert ended.status == "error"
    assert re.search(place, ended.error), ended.error
    counts = await rig.all_ended(session)
    assert (counts.failed, counts.total) == (2, 2)


async def test_a_session_that_takes_no_subtasks_fails_who_submits_some(rig: Rig, db: Any) -> None:
    session, name = await rig.session(), str(uuid4())
    id = await rig.submit(session, [spec("wait", name), spec("down", 0)])
    await rig.until(ids.task_id(id, 0), "processing")
    await rig.ask("session.stop", c.SessionStop(session, worker=True), c.Session)
    gate(name).set()
    ended = await rig.until(ids.task_id(id, 0), "error")
    assert "takes no tasks or results from its tasks any more" in ended.error
    assert (await rig.all_ended(session)).completed == 1, "who submits nothing is not concerned"
    assert await rig.result_status(ids.result_id(id, 0)) == "aborted"


# -- a worker of the test's own: what happens between handing over and the report


class Stranger:
    """Speaks as the worker of one task, in a partition that has no other."""

    def __init__(self, rig: Rig, partition: str, task: UUID, attempt: int = 0) -> None:
        self.rig, self.partition, self.task, self.attempt = rig, partition, task, attempt
        self.submission = ids.submission_id()

    async def spawn(self, *tasks: c.TaskSpec, **more: Any) -> Spawned:
        part = Spawn(self.task, self.attempt, self.submission, tasks=list(tasks), **{"last": True, **more})
        return await self.rig.ask("task.spawn", part, Spawned, user="")

    def completed(self, *outputs: tuple[UUID, bytes]) -> Completed:
        values = [Output(name, len(data), data) for name, data in outputs]
        return Completed(self.task, self.attempt, values, 0.01, self.submission)

    async def begin(self, db: Any) -> None:
        """As if it had been reported as started; but nobody expects heartbeats of it."""
        await db.execute("UPDATE tasks SET status = 5 WHERE id = $1", self.task)

    async def report(self, *reports: Any) -> None:
        await self.rig.bus.publish(subjects.report(self.partition), ReportBatch("stranger", list(reports)))

    async def hidden(self, db: Any, session: UUID) -> None:
        """Nobody sees what was handed over, but it is there: each question is answered as one for an id that nobody has."""
        made, nobody = self.submission, ids.submission_id()
        assert (await left(db, made)).get("submissions") == 1
        assert await self._answers(session, made) == await self._answers(session, nobody)

    async def _answers(self, session: UUID, submission: UUID) -> list[str]:
        """What is answered to everything that names a task or a result of a submission, without the ids."""
        task, result = ids.task_id(submission, 0), ids.result_id(submission, 0)
        answers = []
        for name, request in (
            ("task.get", c.TaskRef(task)),
            ("task.explain", c.TaskRef(task)),
            ("task.logs", c.TaskLogs(task)),
            ("task.attempts", c.AttemptQuery(task=task)),
            ("task.outputs", c.TaskOutputs([task])),
            ("task.cancel", c.TaskCancel(session, [task])),
            ("task.rerun", c.TaskRerun(session, [task])),
            ("session.states", c.StatesQuery(session, tasks=[task], results=[result])),
            ("result.get", c.ResultRef(result)),
            ("result.value", c.ResultRef(result)),
            ("result.list", c.ResultQuery(session=session, ids=[result])),
            ("result.wait", c.ResultWait([result], timeout=0)),
            ("result.complete", c.ResultComplete(result, data=b"x")),
            ("result.abort", c.ResultAbort(session, [result])),
            ("result.delete", c.ResultDelete(session, [result])),
            ("result.import", c.ResultImport(session, [c.Import(result, "shared/nothing")])),
            ("submission.get", c.SubmissionRef(submission)),
        ):
            try:
                received = repr(await self.rig.ask(name, request, dict))
            except HeadraceError as error:
                received = f"{error!r} {error.field}"
            for id, word in ((task, "T"), (result, "R"), (submission, "S")):
                received = received.replace(str(id), word)
            answers.append(f"{name}: {received}")
        return answers


async def parent(rig: Rig, *, outputs: int = 1, **options: Any) -> tuple[UUID, Stranger]:
    """A session, and the stranger that has its task."""
    partition = await rig.partition()
    session = await rig.session(partition)
    id = await rig.submit(session, [spec("anything", outputs=outputs, options=options), spec("after", inputs=["@0"])])
    return session, Stranger(rig, partition, ids.task_id(id, 0))


async def test_nothing_is_seen_before_the_report_and_all_of_it_after(rig: Rig, db: Any) -> None:
    session, one = await parent(rig)
    expected = ids.result_id(ids.submission_of(one.task), 0)
    assert await one.spawn(spec(payload=1), number=0, last=False) == Spawned(1, 1)
    again = [await one.spawn(spec(inputs=["@0"]), number=1, first=1) for _ in range(2)]
    assert again == [Spawned(2, 2)] * 2, "sent again: nothing"
    with pytest.raises(AlreadyExists):
        await one.spawn(spec(payload="other"), number=1, first=1)
    with pytest.raises(Conflict, match="no further parts"):
        await one.spawn(spec(), number=2, first=2)
    await one.hidden(db, session)
    assert (await rig.counts(session)).total == 2
    with pytest.raises(NotFound):  # an id that has leaked is of no use: nobody can wait for what may never be
        await rig.submit(session, [spec(inputs=[ids.result_id(one.submission, 0)])])
    with pytest.raises(AlreadyExists):
        await rig.chunk(session, one.submission, 2, 2, [spec()], last=True)
    done = one.completed((expected, b"x"))
    await one.report(done, done)
    await rig.until(one.task, "completed")
    assert (await rig.task(ids.task_id(one.submission, 0))).parent == one.task
    await one.report(done)
    await one.report(Completed(one.task, 0, [], 0.01, ids.submission_id()))
    await wait_until(lambda: rig.framed(session, "completed") == [one.task])
    assert (await rig.counts(session)).total == 4
    assert await rig.value(expected) == b"x"
    assert await left(db, one.submission) == {
        "tasks": 2, "results": 2, "dependencies": 1, "submissions": 1, "chunks": 2, "lanes": 1
    }  # fmt: skip


async def test_two_workers_hand_over_for_the_same_attempt_and_one_of_them_counts(rig: Rig, db: Any) -> None:
    session, one = await parent(rig)
    other = Stranger(rig, one.partition, one.task)
    expected = ids.result_id(ids.submission_of(one.task), 0)
    for stranger in (one, other):
        await stranger.spawn(spec(outputs=[expected]), spec())
    await asyncio.gather(one.report(one.completed()), one.report(other.completed()))
    await rig.until(one.task, "completed")
    owner = (await rig.ask("result.get", c.ResultRef(expected), c.Result)).owner_task
    assert owner in {ids.task_id(one.submission, 0), ids.task_id(other.submission, 0)}
    loser = other if ids.submission_of(owner) == one.submission else one
    await gone(rig, db, loser.submission)
    assert (await rig.counts(session)).total == 4


async def test_a_worker_that_dies_after_it_handed_over_leaves_nothing(rig: Rig, db: Any) -> None:
    """And the next attempt submits its own."""
    partition, name = await rig.partition(), str(uuid4())
    session = await rig.session(partition)
    async with rig.worker(app, partition=partition) as first:
        id = await rig.submit(session, [spec("wait", name), spec("join", inputs=["@0"])])
        task = ids.task_id(id, 0)
        await rig.until(task, "processing")
        lost = Stranger(rig, partition, task)
        await lost.spawn(spec(), spec(inputs=["@0"]))
        await first.kill()
        gate(name).set()
        async with rig.worker(app, partition=partition):
            assert (await rig.until(task, "completed")).attempt == 1
            late = Stranger(rig, partition, task)
            late.submission = lost.submission
            await late.report(late.completed((ids.result_id(id, 0), b"late")))
            assert (await rig.all_ended(session)).completed == 3
            assert await rig.value(ids.result_id(id, 1)) == b"1"
    await gone(rig, db, lost.submission)
    assert (await rig.counts(session)).total == 3


async def test_a_late_report_of_an_old_attempt_changes_nothing(rig: Rig, db: Any) -> None:
    session, old = await parent(rig)
    expected = ids.result_id(ids.submission_of(old.task), 0)
    await old.spawn(spec(outputs=[expected]))
    await db.execute("UPDATE tasks SET attempt = 1 WHERE id = $1", old.task)
    with pytest.raises(Conflict, match="cannot complete any more"):
        await old.spawn(spec(), number=1, first=1)
    await old.report(old.completed())
    new = Stranger(rig, old.partition, old.task, attempt=1)
    await new.spawn(spec())
    await new.report(new.completed((expected, b"new")))
    await rig.until(old.task, "completed")
    assert await rig.value(expected) == b"new"
    await gone(rig, db, old.submission)
    assert (await rig.counts(session)).total == 3


@pytest.mark.parametrize("begun", [True, False])
async def test_a_parent_that_is_cancelled_after_it_handed_over_leaves_nothing(rig: Rig, db: Any, begun: bool) -> None:
    """Whatever its worker says of it then."""
    session, one = await parent(rig)
    if begun:
        await one.begin(db)
    await one.spawn(spec(outputs=[ids.result_id(ids.submission_of(one.task), 0)]))
    await rig.ask("task.cancel", c.TaskCancel(session, [one.task]), c.TaskChanges)
    assert await rig.status(one.task) == ("cancelling" if begun else "cancelled")
    with pytest.raises(Conflict, match="cannot complete any more"):
        await one.spawn(spec(), number=1, first=1)
    await one.report(one.completed())
    await rig.until(one.task, "cancelled")
    await gone(rig, db, one.submission)
    counts = await rig.counts(session)
    assert (counts.cancelled, counts.failed, counts.total) == (1, 1, 2)
    assert set(rig.framed(session, "cancelled")) == {one.task}


async def test_a_session_that_is_cancelled_or_deleted_tells_of_no_unseen_subtask(rig: Rig, db: Any) -> None:
    session, one = await parent(rig)
    await one.spawn(spec(), spec(inputs=["@0"]))
    await rig.ask("session.cancel", c.SessionRef(session), c.Session)
    await one.report(one.completed())
    assert (await rig.counts(session)).total == 2
    await wait_until(lambda: len(rig.framed(session, "cancelled")) == 2)
    assert set(map(ids.submission_of, rig.framed(session, "cancelled"))) == {ids.submission_of(one.task)}
    await rig.ask("session.delete", c.SessionRef(session), c.Session)

    async def deleted() -> bool:
        return not await left(db, one.submission)

    await wait_until(deleted, on_timeout=lambda: left(db, one.submission))


async def test_a_parent_that_failed_after_it_handed_over_leaves_nothing(rig: Rig, db: Any) -> None:
    session, one = await parent(rig)
    await one.spawn(spec())
    await one.report(Failed(one.task, 0, "error", "after all"))
    await rig.until(one.task, "error")
    await one.report(one.completed((ids.result_id(ids.submission_of(one.task), 0), b"x")))
    await gone(rig, db, one.submission)
    assert (await rig.counts(session)).total == 2


async def test_a_session_closed_between_handing_over_and_report(rig: Rig, db: Any) -> None:
    session, one = await parent(rig, outputs=2)
    expected = [ids.result_id(ids.submission_of(one.task), 0, k) for k in range(2)]
    await one.spawn(spec(outputs=expected[:1]))
    await one.begin(db)
    await rig.ask("session.close", c.SessionRef(session), c.Session)
    await one.report(one.completed((expected[1], b"x")))
    assert "takes no tasks or results" in (await rig.until(one.task, "error")).error
    await gone(rig, db, one.submission)
    assert [await rig.result_status(result) for result in expected] == ["aborted"] * 2


@pytest.mark.parametrize("outputs", [0, 2])
async def test_outputs_that_are_neither_delegated_nor_reported_or_both(rig: Rig, db: Any, outputs: int) -> None:
    session, one = await parent(rig, outputs=2)
    expected = [ids.result_id(ids.submission_of(one.task), 0, k) for k in range(2)]
    await one.spawn(spec(outputs=expected[:1]))
    await one.report(one.completed(*((result, b"x") for result in expected[:outputs])))
    ended = await rig.until(one.task, "error")
    assert f"reported {outputs} outputs and delegated 1, 2 are expected" in ended.error
    await gone(rig, db, one.submission)
    assert (await rig.counts(session)).total == 2


async def test_a_submission_that_is_not_whole_or_not_there_fails_who_names_it(rig: Rig, db: Any) -> None:
    for parts in (0, 1):
        _, one = await parent(rig)
        for number in range(parts):
            await one.spawn(spec(), number=number, first=number, last=False)
        await one.report(one.completed((ids.result_id(ids.submission_of(one.task), 0), b"x")))
        assert "not all of submission" in (await rig.until(one.task, "error")).error


@pytest.mark.parametrize(
    ("kind", "field", "more"),
    [
        (Conflict, "number", {"number": 1}),
        (Conflict, "number", {"first": 1}),
        (Invalid, "number", {"number": -1}),
        (Invalid, "tasks", {"first": ids.MAX_TASKS}),
        (Invalid, "results[0].id", {"results": [c.NewResult()]}),
        (Invalid, "tasks[0].inputs", {"number": 0, "tasks": [spec(inputs=["@0.1"])]}),
    ],
)
async def test_parts_that_are_refused(rig: Rig, kind: type[HeadraceError], field: str, more: dict[str, Any]) -> None:
    _, one = await parent(rig)
    if "tasks" in more:  # a line of an earlier part does not have that output
        await one.spawn(spec(), last=False)
        with pytest.raises(kind) as raised:
            await one.spawn(*more["tasks"], number=1, first=1)
    else:
        with pytest.raises(kind) as raised:
            await one.spawn(spec(), **more)
    assert raised.value.field == field, raised.value


async def test_delegated_twice_in_different_parts(rig: Rig) -> None:
    _, one = await parent(rig)
    expected = ids.result_id(ids.submission_of(one.task), 0)
    await one.spawn(spec(outputs=[expected]), last=False)
    with pytest.raises(Conflict, match="output of another") as raised:
        await one.spawn(spec(), spec(outputs=[expected]), number=1, first=1)
    assert raised.value.field == "tasks[1].outputs"
