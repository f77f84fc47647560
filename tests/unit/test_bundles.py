"""How chosen tasks share messages."""

from uuid import UUID

import pytest

from services.scheduler.dispatch.bundles import BUNDLE, bundles
from shared.contracts.ids import submission_id, task_id


def rows(count: int, submission: UUID | None = None, priority: int = 1) -> list[dict[str, object]]:
    made = submission or submission_id()
    return [{"id": task_id(made, n), "priority": priority, "function": "f"} for n in range(count)]


@pytest.mark.parametrize(
    ("seconds", "workers", "sizes"),
    [
        (None, 1, [1] * 60),  # nobody knows how long they take
        (1.0, 4, [1] * 60),
        (0.012, 1, [4] * 15),  # 50 ms of work at most
        (0.01, 15, [2] * 30),  # two for each worker
        (0.0001, 6, [10] * 6),  # no message with less than a millisecond of work
        (0.000002, 15, [BUNDLE, 10]),
    ],
)
def test_sizes(seconds: float | None, workers: int, sizes: list[int]) -> None:
    known = {} if seconds is None else {"f": seconds}
    assert [len(part) for part in bundles(rows(60), workers, known)] == sizes


def test_one_submission_and_one_priority_each() -> None:
    one, other = submission_id(), submission_id()
    chosen = [*rows(3, one), *rows(2, other), *rows(2, other, priority=5)]
    assert list(bundles(chosen, 1, {"f": 1e-6})) == [chosen[:3], chosen[3:5], chosen[5:]]
