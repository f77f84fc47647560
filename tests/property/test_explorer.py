"""Every interleaving of a few tasks: none is lost, none counts twice, none is stuck. And the walk finds it where a rule is broken."""

import os
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from shared.contracts.states import TASK_ENDS
from shared.contracts.states import TaskStatus as T
from tests.support.model.explorer import Broken, Explorer, Graph, Measure, graphs
from tests.support.model.rules import Rules, Task

SOAK = bool(os.environ.get("HEADRACE_SOAK"))
pytestmark = pytest.mark.timeout(7200 if SOAK else 240)
Counted = Callable[[str], None]
CHAIN: Graph = ((), (0,))
WHOLE = Measure(crashes=1)
"""Two schedulers, one of which may die at any moment."""
WORSE = {
    "two crashes": (2, Measure(crashes=2)),
    "a message delivered twice": (3, Measure(repeats=1)),
    "a task that raises": (3, Measure(errors=1)),
    "a worker that dies": (3, Measure(deaths=1)),
    "a slow worker that dies": (3, Measure(crashes=0, deaths=1, slow=True)),
    "a pause": (3, Measure(crashes=0, verbs=("pause", "resume"))),
    "a pause and a crash": (2, Measure(verbs=("pause", "resume"))),
    "two pauses": (2, Measure(crashes=0, verbs=("pause", "resume", "pause", "resume"))),
    "a close and a crash": (2, Measure(verbs=("close",))),
    "a close of slow tasks and a crash": (2, Measure(verbs=("close",), slow=True)),
    "a cancel and a crash": (2, Measure(verbs=("cancel",))),
    "a pause, then a cancel, of slow tasks": (3, Measure(crashes=0, verbs=("pause", "cancel"), slow=True)),
}
"""Of how many tasks at most, and what. `make soak`: one more."""


def walk(shapes: list[Graph], measure: Measure) -> tuple[str, set[int]]:
    """What was walked, as it is to be printed; the states in which tasks have ended."""
    states = interleavings = 0
    ends: set[int] = set()
    for graph in shapes:
        found = Explorer(graph, measure).walk()
        assert not found.problem, f"{graph}: {found.problem}, after\n  " + "\n  ".join(found.path)
        states, interleavings = states + found.states, interleavings + found.interleavings
        ends.update(state for rows in found.ends for state in rows)
    return f"{len(shapes)} graphs, {states:,} states, {interleavings:.1e} interleavings", ends


def test_every_interleaving_of_up_to_three_tasks_step_by_step(counted: Counted) -> None:
    received, ends = walk([*graphs(1), *graphs(2), *graphs(3)], WHOLE)
    assert ends == {T.COMPLETED}
    counted(f"explorer: up to 3 tasks, 2 schedulers, 1 crash: {received}, all end COMPLETED")


def test_every_interleaving_of_four_tasks(counted: Counted) -> None:
    received, ends = walk(graphs(4), WHOLE if SOAK else replace(WHOLE, coarse=True))
    assert ends == {T.COMPLETED}
    counted(f"explorer: 4 tasks, 2 schedulers, 1 crash: {received}, all end COMPLETED")


@pytest.mark.parametrize("name", WORSE)
def test_what_else_may_go_wrong(name: str, counted: Counted) -> None:
    most, measure = WORSE[name]
    most += SOAK
    received, ends = walk([graph for n in range(1, most + 1) for graph in graphs(n)], replace(measure, coarse=True))
    assert T.COMPLETED in ends
    assert ends <= TASK_ENDS
    counted(f"explorer: up to {most} tasks, {name}: {received}")


@pytest.mark.parametrize("measure", [WHOLE, *(measure for _, measure in WORSE.values())])
def test_coarse_steps_leave_nothing_out(measure: Measure) -> None:
    for graph in [*graphs(1), *([] if measure.slow and measure.crashes else graphs(2))]:
        fine, coarse = (Explorer(graph, replace(measure, coarse=one)).walk() for one in (False, True))
        assert fine.ends == coarse.ends
        assert fine.states > coarse.states


def test_as_many_shapes_as_there_are() -> None:
    assert [len(graphs(n)) for n in range(1, 5)] == [1, 2, 6, 31]


# -- what is wrong is found


def test_a_recovery_that_forgets_what_was_chosen_loses_tasks() -> None:
    found = Explorer(CHAIN, WHOLE, Broken(forgets=True)).walk()
    assert "is SUBMITTED for ever" in found.problem
    assert any("dies" in step for step in found.path)


def test_a_report_acknowledged_before_its_commit_is_lost() -> None:
    found = Explorer(CHAIN, WHOLE, Broken(early=True)).walk()
    assert "for ever" in found.problem
    assert any("dies" in step for step in found.path)


class Credulous(Rules):
    """Counts a report whatever has become of the task."""

    def _counts(self, task: Task, attempt: int, verb: str) -> bool:
        return not self.unmet(task)


def test_a_report_that_counts_without_a_guard_counts_twice() -> None:
    found = Explorer(CHAIN, replace(WHOLE, crashes=0, repeats=1), rules=Credulous).walk()
    assert found.problem.startswith("done twice: ")
    assert any("again" in step for step in found.path)


class Unwatchful(Rules):
    """Pausing does not take back what was chosen."""

    def follow(self, session: int) -> None:
        pass


def test_a_pause_that_empties_the_queue_and_takes_nothing_back_loses_tasks() -> None:
    found = Explorer(CHAIN, Measure(crashes=0, verbs=("pause", "resume")), rules=Unwatchful).walk()
    assert "is SUBMITTED for ever" in found.problem


class Heartless(Rules):
    """A failure does not reach those who wait for what failed."""

    def _cascade(self) -> None:
        pass


def test_a_failure_without_a_cascade_leaves_tasks_waiting() -> None:
    found = Explorer(CHAIN, Measure(crashes=0, errors=1), rules=Heartless).walk()
    assert found.problem == "task 1 is PENDING for ever"
