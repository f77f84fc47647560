"""A submission's lines as rows, and the options that tasks inherit, without I/O."""

from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from services.scheduler.compute.submissions.options import Defaults, inherit, session_defaults
from services.scheduler.compute.submissions.plan import LISTED, RESULT_COLUMNS, TASK_COLUMNS, Plan
from shared.contracts import ids
from shared.contracts.compute import MAX_INPUTS, Options, TaskSpec
from shared.contracts.errors import Conflict, Invalid, NotFound
from shared.contracts.states import ResultStatus, TaskStatus

SESSION = ids.uuid7()


def plan(first: int = 0, lists: Any = None, **defaults: Any) -> Plan:
    base = Defaults("default", "f", **defaults)
    return Plan(ids.submission_id(), SESSION, first, base, {"default": 1, "gpu": 2}, lists=lists)


def row(made: Plan, n: int) -> dict[str, Any]:
    return dict(zip(TASK_COLUMNS, made.tasks[n], strict=True))


def test_the_more_specific_option_wins_and_labels_are_merged() -> None:
    base = session_defaults(["gpu", "default"], Options(function="f", priority=5, labels={"a": "1", "b": "1"}))
    assert base == Defaults("gpu", "f", priority=5, labels={"a": "1", "b": "1"})
    own = inherit(base, Options(priority=9, max_retries=0, max_duration=1.5, labels={"b": "2"}))
    assert own == Defaults("gpu", "f", 9, 0, 1.5, {"a": "1", "b": "2"})
    assert inherit(own, None) is own
    assert session_defaults([], Options()) == Defaults("default", None)


def test_rows_of_a_ready_task() -> None:
    made = plan(first=100, labels={"a": "b"})
    made.add(TaskSpec(msgspec.Raw(b'{"x":1}'), options=Options(partition="gpu", priority=50)))
    task = row(made, 0)
    assert task["id"] == ids.task_id(made.submission, 100)
    assert (task["partition"], task["priority"], task["payload"]) == (2, 50, b'{"x":1}')
    assert (task["remaining"], task["deps"], task["status"]) == (0, 0, TaskStatus.PENDING)
    assert task["labels"] == '{"a":"b"}'
    assert made.outputs == [(ids.result_id(made.submission, 100), task["id"])]
    assert made.lanes == {(2, 50): 101}
    assert len(RESULT_COLUMNS) == 6


def test_a_line_names_its_function_itself_or_in_its_options() -> None:
    made = plan()
    for line in (
        '{"function":"g"}',
        '{"options":{"function":"g"}}',
        '{"function":"g","options":{"function":"h"}}',
        "{}",
    ):
        made.add(msgspec.json.decode(line, type=TaskSpec))
    assert [row(made, n)["function"] for n in range(4)] == ["g", "g", "g", "f"]


def test_inputs_are_counted_once_and_kept_in_order() -> None:
    made = plan()
    made.add(TaskSpec(outputs=2))
    made.add(TaskSpec(inputs=["@0.1", "@0", "@0.1"], payload_result="@0"))
    made.link({})
    task = row(made, 1)
    assert task["inputs"] == [ids.result_id(made.submission, 0, k) for k in (1, 0, 1)]
    assert (task["remaining"], task["payload"], task["payload_result"]) == (2, None, ids.result_id(made.submission, 0))
    assert sorted(made.edges) == [(ids.result_id(made.submission, 0, k), task["id"]) for k in (0, 1)]
    assert (1, 1) in made.lanes
    assert made.lanes[1, 1] == 1, "a task that waits is in no lane"


def test_inputs_from_a_list_follow_the_others_in_order() -> None:
    listed, other = uuid4(), uuid4()
    made = plan(lists={listed: ["@0.1", str(other), "@0.1"]})
    made.add(TaskSpec(outputs=2))
    made.add(TaskSpec(inputs=["@0"], inputs_from=listed))
    made.link({other: (SESSION, int(ResultStatus.CREATED))})
    own = [ids.result_id(made.submission, 0, k) for k in (0, 1)]
    assert row(made, 1)["inputs"] == [own[0], own[1], other, own[1]]
    assert row(made, 1)["remaining"] == 3
    assert made.outside == {other: "tasks[1].inputs_from[1]"}


def test_an_empty_list_is_no_inputs() -> None:
    listed = uuid4()
    made = plan(lists={listed: []})
    made.add(TaskSpec(inputs_from=listed))
    made.link({})
    assert (row(made, 0)["remaining"], made.lanes) == (0, {(1, 1): 1})


@pytest.mark.parametrize(
    ("held", "inputs", "kind", "field"),
    [
        (["@0", "nonsense"], [], Invalid, "tasks[1].inputs_from[1]"),
        (["@0", "@1"], [], Invalid, "tasks[1].inputs_from[1]"),  # itself
        (["@0.7"], [], Invalid, "tasks[1].inputs_from[0]"),
        (["@0"] * MAX_INPUTS, ["@0"], Invalid, "tasks[1].inputs_from"),
        (Conflict("is CREATED", field="elsewhere"), [], Conflict, "tasks[1].inputs_from"),
        (NotFound("no such result"), [], NotFound, "tasks[1].inputs_from"),
        (None, [], Invalid, "tasks[1].inputs_from"),  # nobody looked for it
    ],
)
def test_a_list_that_is_wrong_is_refused_with_its_place(
    held: Any, inputs: list[str], kind: type[Exception], field: str
) -> None:
    listed = uuid4()
    made = plan(lists={} if held is None else {listed: held})
    made.add(TaskSpec())
    with pytest.raises(kind) as caught:
        made.add(TaskSpec(inputs=inputs, inputs_from=listed))
    assert caught.value.field == field  # type: ignore[attr-defined]


def test_a_short_line_cannot_name_inputs_without_end() -> None:
    listed = uuid4()
    made = plan(lists={listed: ["@0"] * (LISTED // 4)})
    made.add(TaskSpec())
    for _ in range(4):
        made.add(TaskSpec(inputs_from=listed))
    with pytest.raises(Invalid, match="spread them over several submissions") as caught:
        made.add(TaskSpec(inputs_from=listed))
    assert caught.value.field == "tasks[5].inputs_from"


def test_results_from_outside_are_met_waited_for_or_refused() -> None:
    there, later, aborted, strange = (uuid4() for _ in range(4))

    def settled(found: dict[UUID, tuple[UUID, int]], *inputs: UUID) -> Plan:
        made = plan()
        made.add(TaskSpec(inputs=[str(each) for each in inputs]))
        made.link(found)
        return made

    met = settled({there: (SESSION, ResultStatus.COMPLETED)}, there)
    assert (row(met, 0)["remaining"], row(met, 0)["status"], met.edges) == (0, TaskStatus.PENDING, [])
    assert met.lanes == {(1, 1): 1}
    known = {there: (SESSION, int(ResultStatus.COMPLETED)), later: (SESSION, int(ResultStatus.CREATED))}
    waits = settled(known, there, later)
    assert (row(waits, 0)["remaining"], row(waits, 0)["status"]) == (1, TaskStatus.CREATING)
    assert (waits.marks.outside, waits.lanes) == (True, {})
    for found, kind in (
        ({}, NotFound),
        ({strange: (uuid4(), int(ResultStatus.COMPLETED))}, NotFound),
        ({strange: (SESSION, int(ResultStatus.ABORTED))}, Conflict),
        ({strange: (SESSION, int(ResultStatus.DELETED))}, Conflict),
    ):
        with pytest.raises(kind) as raised:
            settled({**known, **found}, there, strange)
        assert raised.value.field == "tasks[0].inputs[1]"
    assert aborted not in known


def test_references_across_chunks_are_left_to_the_whole() -> None:
    made = plan(first=10)
    made.add(TaskSpec(inputs=["@9.3"]))
    assert made.cross_chunk
    made.link({})
    assert made.edges == [(ids.result_id(made.submission, 9, 3), ids.task_id(made.submission, 10))]
    assert not made.marks.outside


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (TaskSpec(inputs=["@10"]), "tasks[0].inputs[0]"),
        (TaskSpec(inputs=["@0", "@11"]), "tasks[0].inputs[1]"),
        (TaskSpec(inputs=["@x"]), "tasks[0].inputs[0]"),
        (TaskSpec(inputs=["@1.1234"]), "tasks[0].inputs[0]"),
        (TaskSpec(inputs=["nothing"]), "tasks[0].inputs[0]"),
        (TaskSpec(payload_result="@99"), "tasks[0].payload_result"),
        (TaskSpec(options=Options(partition="other")), "tasks[0].options.partition"),
        (TaskSpec(msgspec.Raw(b'"' + b"x" * 16384 + b'"')), "tasks[0].payload"),
    ],
)
def test_what_is_wrong_is_named(spec: TaskSpec, field: str) -> None:
    with pytest.raises(Invalid) as raised:
        plan(first=10).add(spec)
    assert raised.value.field == field


def test_an_output_is_claimed_once() -> None:
    made, mine = plan(), uuid4()
    made.add(TaskSpec(outputs=[mine]))
    assert made.claims == {mine: ids.task_id(made.submission, 0)}
    assert made.outputs == []
    with pytest.raises(Conflict) as raised:
        made.add(TaskSpec(outputs=[mine]))
    assert raised.value.field == "tasks[1].outputs[0]"


def test_a_claimed_output_is_named_by_its_id_not_by_its_line() -> None:
    made = plan()
    made.add(TaskSpec(outputs=[uuid4()]))
    with pytest.raises(Invalid, match="no output 0 of its own"):
        made.add(TaskSpec(inputs=["@0"]))


def test_each_lane_knows_the_function_that_all_its_tasks_have() -> None:
    """One of two partitions, or of two priorities, may have one function though the submission has several."""
    made = plan()
    for partition, function in (("default", "f"), ("gpu", "g"), ("default", "f"), ("gpu", "h")):
        made.add(TaskSpec(options=Options(partition=partition, function=function)))
    made.add(TaskSpec(options=Options(priority=7, function="g")))
    made.add(TaskSpec(inputs=["@0"], options=Options(function="waits")))
    made.link({})
    lanes = dict(zip(made.lanes, made.functions, strict=True))
    assert lanes == {(1, 1): "f", (2, 1): None, (1, 7): "g"}
