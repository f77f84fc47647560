"""What is known of a partition here and now; the tables know the rest."""

import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from services.scheduler.dispatch.pace import Pace
from services.scheduler.dispatch.placement import Functions
from shared.contracts.work import Beat

IDLE = 0.5
"""Seconds after which a partition is looked at, though nothing is known to have happened there."""


class Partition:
    """`outstanding` is counted by its dispatcher alone; others know what that one said last (`heard`).

    promised                  turns of requests that are about to choose, and have not committed
    priority, reserve, most   as `PartitionCreate` has them (`most`: its `max`), at most a second old
    workers                   live ones that serve it: their last heartbeat, and when it came
    functions                 those that the live workers have
    heard                     tasks outstanding and known to run, by the word of its dispatcher, at most a second old
    rebuilt                   how often its queue was, here: what was counted before is counted no more
    """

    def __init__(self, number: int, name: str, *, priority: int = 1, reserve: int = 0, most: int | None = None) -> None:
        self.number, self.name = number, name
        self.priority, self.reserve, self.most = priority, reserve, most
        self.pace = Pace()
        self.outstanding = self.promised = 0
        self.heard = (0, 0)
        self.workers: dict[str, tuple[Beat, float]] = {}
        self.functions = Functions()
        self.rebuilt = 0
        self.ready = False  # recovered: this process may dispatch it
        self.moved = time.monotonic()  # when a task of it was last chosen, or ended
        self.recounted = 0.0  # what `moved` was when those outstanding were last counted anew

    def hear(self, beat: Beat, now: float) -> bool:
        """Takes a heartbeat. Whether it says something new of what the worker can do: most do not."""
        before = self.workers.get(beat.worker)
        self.workers[beat.worker] = (beat, now)
        if before is not None and _ability(before[0]) == _ability(beat):
            return False
        self.functions.offer([beat for beat, _ in self.workers.values()])
        return True

    def forget(self, worker: str) -> None:
        """It serves the partition no more, or has fallen silent."""
        del self.workers[worker]
        self.functions.offer([beat for beat, _ in self.workers.values()])

    @property
    def slots(self) -> int:
        """Of the workers that are well."""
        return sum(beat.slots for beat, _ in self.workers.values() if not beat.unwell)

    @property
    def window(self) -> int:
        """Tasks that may be outstanding at once."""
        window = self.pace.window(self.slots)
        return window if self.most is None else min(window, self.most)

    @property
    def credit(self) -> int:
        return max(0, self.window - self.outstanding - self.promised) if self.ready else 0

    @property
    def hurried(self) -> bool:
        """Something is set aside here that could be placed soon."""
        return self.ready and self.functions.waiting and bool(self.functions.offered)

    @property
    def counted(self) -> int:
        """Tasks outstanding, whoever counts them."""
        return self.outstanding if self.ready else self.heard[0]

    @property
    def entitled(self) -> bool:
        """It runs less than it has reserved, and has something that could run: its tasks come before all others'."""
        return self.heard[1] < self.reserve and self.counted > self.heard[1]


def _ability(beat: Beat) -> tuple[object, ...]:
    return beat.functions, beat.slots, beat.unwell


def by_partition(rows: Iterable[Any]) -> dict[int, int]:
    """How many rows of each partition."""
    counts: dict[int, int] = defaultdict(int)
    for row in rows:
        counts[row["partition"]] += 1
    return counts
