"""What a task's code creates: collected with ids known at once, cut into parts, errors placed where the code counts."""

import subprocess
import sys
from uuid import UUID, uuid4

import msgspec
import pytest

from services.scheduler.compute.submissions.options import Defaults
from services.scheduler.compute.submissions.plan import Plan
from shared.contracts import ids
from shared.contracts.compute import Options, TaskSpec
from shared.contracts.errors import Conflict, Invalid
from shared.contracts.topology import MESSAGE_LIMIT
from shared.worker import Task
from shared.worker.functions import encode_outputs
from shared.worker.subtask_sender import parts_of, with_place
from shared.worker.subtasks import DIRECT

A, B = uuid4(), uuid4()


def task() -> Task:
    return Task(uuid4(), 0, b"null", [b"in"], 2, lambda *_: None, input_ids=[uuid4()], expected=[A, B])


def test_without_subtasks_nothing_is_made_and_all_outputs_are_returned() -> None:
    one = task()
    assert (one.creations, one.undelegated) == (None, [A, B])


def test_what_is_submitted_is_a_line_and_its_ids_are_known() -> None:
    one = task()
    first = one.submit("f", {"n": 1}, inputs=one.input_ids, priority=7)
    given = one.create_result({"x": 1}, name="given")
    later = one.create_result()
    second = one.submit("g", inputs=[first, given], outputs=[later, B], payload_result=first)
    made = one.creations
    assert made is not None
    assert first.outputs == [ids.result_id(made.submission, 0)] == [first.output]
    assert second.id == ids.task_id(made.submission, 1)
    specs = [msgspec.json.decode(line, type=TaskSpec) for line in made.tasks]
    payload = msgspec.Raw(b'{"n":1}')
    assert specs[0] == TaskSpec(payload, inputs=[str(one.input_ids[0])], options=Options(function="f", priority=7))
    assert (specs[1].inputs, specs[1].outputs) == ([str(first.output), str(given)], [later, B])
    assert specs[1].payload_result == str(first.output)
    assert made.results == [(given, "given", b'{"x":1}'), (later, "", None)]
    assert one.undelegated == [A]
    assert encode_outputs(b"mine", len(one.undelegated)) == [b"mine"]
    with pytest.raises(ValueError, match="2 outputs"):
        _ = second.output


def test_more_inputs_than_a_line_has_room_for_are_kept_as_a_result() -> None:
    one = task()
    few = one.submit("f", inputs=[A] * DIRECT)
    many = [few.output, *[B] * DIRECT]
    one.submit("f", inputs=many)
    made = one.creations
    assert made is not None
    short, long = (msgspec.json.decode(line, type=TaskSpec) for line in made.tasks)
    assert (len(short.inputs), short.inputs_from, long.inputs) == (DIRECT, None, [])
    [(listed, name, value)] = made.results
    assert (long.inputs_from, name) == (listed, "inputs of subtask 1")
    assert value is not None
    assert msgspec.json.decode(value, type=list[UUID]) == many
    assert all(len(line) < MESSAGE_LIMIT for line in made.tasks)


def test_two_runs_of_a_task_share_no_ids() -> None:
    assert task().submit("f").id != task().submit("f").id


def test_parts_fit_and_results_come_first() -> None:
    results, tasks = [b"r" * 40] * 3, [b"t" * 30] * 4
    parts = list(parts_of(results, tasks, 100))
    assert [(len(some), len(lines)) for some, lines in parts] == [(2, 0), (1, 1), (0, 3)]
    assert list(parts_of([], [], 100)) == [([], [])]
    assert [len(lines) for _, lines in parts_of([], [b"x" * 500, b"y"], 100)] == [1, 1], (
        "too large alone: refused there"
    )


def test_errors_are_placed_as_the_code_counts() -> None:
    error = with_place(Invalid("no such thing", field="tasks[3].inputs[1]"), 100)
    assert (type(error), error.message, error.field) == (
        Invalid,
        "subtasks[103].inputs[1]: no such thing",
        "subtasks[103].inputs[1]",
    )
    assert with_place(Conflict("closed"), 100).message == "closed"


def test_outputs_of_the_same_submission_may_be_named_by_their_ids() -> None:
    made = Plan(ids.submission_id(), ids.uuid7(), 0, Defaults("default", "f"), {"default": 1}, parent=A)
    made.add(TaskSpec())
    own = ids.result_id(made.submission, 0)
    made.add(TaskSpec(inputs=[str(own), "@0"]))
    made.link({})
    assert made.edges == [(own, ids.task_id(made.submission, 1))]
    assert not made.outside
    assert made.tasks[0][-1] == A
    with pytest.raises(Invalid, match="not an earlier line"):
        made.add(TaskSpec(inputs=[str(ids.result_id(made.submission, 9))]))


def test_child_processes_need_no_bus_for_it() -> None:
    """Each starts anew, and pays for what it imports."""
    received = "import sys, shared.worker.child; print('nats' in sys.modules or 'shared.bus.client' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", received], capture_output=True, text=True, check=True).stdout == "False\n"
    )
