"""Counting what is outstanding reads all tasks that have not ended: it takes a bounded share of the time."""

from typing import Any

import pytest

from services.scheduler.dispatch.partition import Partition
from services.scheduler.dispatch.recount import Recount


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def monotonic(self) -> float:
        return self.time


class Tables:
    """A count takes so many seconds and finds that two tasks are outstanding."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds, self.counts = clock, seconds, 0

    async def fetchval(self, *_: Any) -> int:
        self.clock.time += self.seconds
        self.counts += 1
        return 2


class Woken:
    async def wake(self, numbers: Any = None) -> None: ...


def recount(seconds: float) -> tuple[Recount, Clock, Tables, Partition]:
    clock: Any = Clock()
    tables = Tables(clock, seconds)
    partition = Partition(1, "p")
    partition.dispatched_here, partition.outstanding = True, 5
    return Recount(tables, clock, Woken()), clock, tables, partition


@pytest.mark.parametrize(("seconds", "least", "most"), [(0.3, 4, 8), (0.001, 60, 60)], ids=["many tasks", "few tasks"])
async def test_a_partition_that_pauses_again_and_again_is_counted_the_seldomer_the_longer_it_takes(
    seconds: float, least: int, most: int
) -> None:
    made, clock, tables, partition = recount(seconds)
    for n in range(60):
        clock.time = max(clock.time, 100.0 + n)
        partition.changed_at = -1.0 - n  # something ended long enough ago; another time
        await made.count_sparingly(partition)
    assert least <= tables.counts <= most


async def test_what_is_wrong_is_set_right_when_two_counts_agree() -> None:
    made, clock, tables, partition = recount(0.3)
    partition.changed_at = -1.0
    for _ in range(30):
        clock.time += 1
        await made.count_sparingly(partition)
    assert (partition.outstanding, tables.counts) == (2, 2)
