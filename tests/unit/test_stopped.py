"""Which attempts a worker still knows as stopped."""

from uuid import uuid4

import pytest

from shared.contracts.work import Control, Work
from shared.worker import stopped
from shared.worker.stopped import Stopped

SESSION = uuid4()


def work(attempt: int = 0) -> Work:
    return Work(uuid4(), "f", [], attempt=attempt)


def test_a_task_is_known_by_its_attempt() -> None:
    known, one, other = Stopped(), work(1), work(1)
    known.note(SESSION, Control("preempted", [(one.id, 1)]))
    known.note(SESSION, Control("cancelled", [(one.id, 0)]))  # an older word takes nothing back
    assert known.forbids(SESSION, one)
    assert known.forbids(SESSION, Work(one.id, "f", []))
    assert not known.forbids(SESSION, Work(one.id, "f", [], attempt=2))
    assert not known.forbids(SESSION, other)


def test_only_a_cancelled_session_is_known_as_a_whole() -> None:
    known, another = Stopped(), uuid4()
    known.note(SESSION, Control("preempted"))
    assert not known.forbids(SESSION, work())
    known.note(SESSION, Control("cancelled"))
    assert known.forbids(SESSION, work(7))
    assert not known.forbids(another, work())


def test_they_are_so_many_and_for_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopped, "MOST", 2)
    known, works = Stopped(), [work() for _ in range(3)]
    known.note(SESSION, Control("cancelled", [(each.id, 0) for each in works]))
    assert [known.forbids(SESSION, each) for each in works] == [False, True, True]
    monkeypatch.setattr(stopped, "KEPT", -1.0)
    known.note(SESSION, Control("cancelled", [(works[0].id, 0)]))
    assert not known.forbids(SESSION, works[0])
