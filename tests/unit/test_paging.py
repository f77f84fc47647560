"""A page ends at its size, or where the reply would grow too large."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from services.scheduler.compute.tasks import logs
from services.scheduler.compute.tasks.status import task_of
from shared.contracts.compute import Options, Value
from shared.contracts.states import TaskStatus
from shared.service.paging import fitting

ITEMS = [Value(UUID(int=n), 0, b"x" * 300) for n in range(10)]
ONE = len(msgspec.json.encode(ITEMS[0])) + 1


@pytest.mark.parametrize(
    ("size", "room", "shown"),
    [(10, 10 * ONE, 10), (4, 10 * ONE, 4), (10, 3 * ONE, 3), (10, 4 * ONE - 1, 3), (10, 1, 1)],
)
def test_a_page_ends_at_its_size_or_its_bytes(size: int, room: int, shown: int) -> None:
    assert fitting(ITEMS, size, room) == (ITEMS[:shown], shown < 10)


def test_an_empty_page() -> None:
    assert fitting([], 10) == ([], False)


@pytest.mark.parametrize("ended", [True, False])
def test_a_log_of_many_small_pieces_is_read_to_its_end(ended: bool) -> None:
    pieces = [{"start": n, "text": "."} for n in range(2 * logs.PIECES + 1)]
    text, start, more = "", 0, True
    while more:
        held = [piece for piece in pieces if piece["start"] >= start][: logs.PIECES]
        part, start, more = logs.page(held, start, ended=ended)
        text += part
    assert len(text) == len(pieces)


def test_a_log_whose_pieces_lead_nowhere_has_an_end() -> None:
    assert logs.page([{"start": 0, "text": "x"}] * logs.PIECES, 5, ended=False) == ("", 5, False)


def test_a_task_shows_its_first_inputs() -> None:
    many = [UUID(int=n) for n in range(5000)]
    row = dict.fromkeys(
        (
            "attempt",
            "remaining",
            "priority",
            "max_retries",
            "max_duration",
            "worker",
            "error",
            "started_at",
            "ended_at",
            "parent",
        )
    )
    row |= {"id": many[1], "session": many[2], "inputs": many, "outputs": many[:2]}
    row |= {"partition_name": "default", "function": "f", "attempt": 0}
    row |= dict.fromkeys(("payload_result", "labels", "application", "parent"))
    task = task_of(row, TaskStatus.PENDING, datetime.now(UTC))
    assert (task.inputs, task.outputs) == (many[:1000], many[:2])


def test_labels_are_limited() -> None:
    def labelled(n: int) -> Options:
        return msgspec.convert({"labels": {str(k): "x" for k in range(n)}}, Options)

    assert len(labelled(64).labels or {}) == 64
    with pytest.raises(msgspec.ValidationError, match="labels"):
        labelled(65)
