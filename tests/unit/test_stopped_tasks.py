"""Which attempts a worker still knows as stopped."""

from uuid import uuid4

import pytest

from shared.contracts.work import Control, Work
from shared.worker import stopped_tasks
from shared.worker.stopped_tasks import StoppedTasks

SESSION = uuid4()


def work(attempt: int = 0) -> Work:
    return Work(uuid4(), "f", [], attempt=attempt)


def test_a_task_is_known_by_its_attempt() -> None:
    known, one, other = StoppedTasks(), work(1), work(1)
    known.note(SESSION, Control("preempted", [(one.id, 1)]))
    known.note(SESSION, Control("cancelled", [(one.id, 0)]))  # an older word takes nothing back
    assert known.forbids(SESSION, 1, one)
    assert known.forbids(SESSION, 1, Work(one.id, "f", []))
    assert not known.forbids(SESSION, 1, Work(one.id, "f", [], attempt=2))
    assert not known.forbids(SESSION, 1, other)


def test_a_session_is_known_by_its_epoch_and_as_a_whole_when_it_was_cancelled() -> None:
    known, another = StoppedTasks(), uuid4()
    known.note(SESSION, Control("paused", epoch=3))
    known.note(SESSION, Control("closed", epoch=2))
    assert known.forbids(SESSION, 3, work(7))
    assert not known.forbids(SESSION, 4, work())
    known.note(SESSION, Control("cancelled", epoch=4))
    assert known.forbids(SESSION, 5, work(7))
    assert not known.forbids(another, 1, work())


def test_tasks_that_wait_elsewhere_are_not_stopped_by_closing() -> None:
    known, one = StoppedTasks(), work()
    known.note(SESSION, Control("closed", [(one.id, 0)]))
    assert not known.forbids(SESSION, 1, one)


def test_they_are_so_many_and_for_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopped_tasks, "MOST_TASKS", 2)
    monkeypatch.setattr(stopped_tasks, "MOST_SESSIONS", 1)
    known, works = StoppedTasks(), [work() for _ in range(3)]
    known.note(SESSION, Control("cancelled", [(each.id, 0) for each in works]))
    assert [known.forbids(SESSION, 1, each) for each in works] == [False, True, True]
    known.note(SESSION, Control("cancelled"))
    known.note(uuid4(), Control("cancelled"))
    assert not known.forbids(SESSION, 1, works[0])
    monkeypatch.setattr(stopped_tasks, "KEPT_SECONDS", -1.0)
    known.note(SESSION, Control("cancelled", [(works[0].id, 0)]))
    assert not known.forbids(SESSION, 1, works[0])
