"""What users see of a task: its row, its lane's cursor and its session's state."""

from typing import Any

import pytest

from services.scheduler.compute.tasks.status import status_of
from shared.contracts import ids
from shared.contracts.states import SessionStatus as S
from shared.contracts.states import TaskStatus as T

SUBMISSION = ids.submission_id()
CURSORS = {(SUBMISSION, 1, 5): 3}


def row(line: int = 0, status: T = T.PENDING, **more: Any) -> dict[str, Any]:
    first = {"id": ids.task_id(SUBMISSION, line), "partition": 1, "priority": 5}
    return {**first, "status": status, "remaining": 0, "deps": 0, "attempt": 0, **more}


@pytest.mark.parametrize(
    ("task", "session", "seen"),
    [
        (row(2), S.RUNNING, T.SUBMITTED),
        (row(3), S.RUNNING, T.PENDING),
        (row(2, priority=6), S.RUNNING, T.PENDING),
        (row(2, attempt=1), S.RUNNING, T.PENDING),
        (row(2, deps=1), S.RUNNING, T.PENDING),
        (row(2, deps=1, remaining=1), S.RUNNING, T.PENDING),
        (row(9, status=T.SUBMITTED), S.RUNNING, T.SUBMITTED),
        (row(2), S.PAUSED, T.PAUSED),
        (row(3, attempt=2, deps=1), S.PAUSED, T.PAUSED),
        (row(2, deps=1, remaining=1), S.PAUSED, T.PENDING),
        (row(2, status=T.PROCESSING), S.PAUSED, T.PROCESSING),
        (row(2), S.CLOSED, T.PENDING),
    ],
)
def test_what_users_see(task: dict[str, Any], session: S, seen: T) -> None:
    assert status_of(task, CURSORS, session) is seen
