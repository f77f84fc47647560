"""How far the poll of the outbox may pass."""

import pytest

from shared.service.outbox import Horizon, watermark

SEEN = Horizon(oldest=90, next=100, newest=50)


@pytest.mark.parametrize(
    ("oldest", "unfinished", "expected"),
    [
        (99, None, None),  # one that was at work is still open: it may have taken an id below 50
        (100, None, 50),
        (250, None, 50),
        (100, 60, 50),
        (100, 51, 50),
        (100, 50, 49),  # the bus has not stored it
        (100, 7, 6),
        (99, 7, None),
    ],
)
def test_the_watermark_waits_for_whoever_may_commit_below_it(
    oldest: int, unfinished: int | None, expected: int | None
) -> None:
    assert watermark(SEEN, Horizon(oldest, next=300, newest=80), unfinished) == expected
