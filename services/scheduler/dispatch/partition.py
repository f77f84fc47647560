"""What this process knows of one partition; the tables know the rest."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from services.scheduler.dispatch.functions import Functions
from services.scheduler.dispatch.pace import Pace
from services.scheduler.dispatch.share import Share
from shared.contracts.work import Beat


class LiveWorker(NamedTuple):
    """A worker that serves the partition: its last heartbeat, and when that came (monotonic seconds)."""

    beat: Beat
    seen_at: float


class Partition:
    """One partition. Its dispatcher alone counts `outstanding`; other schedulers have its last word (`reported_…`).

    priority, reserve, max   as in `PartitionCreate`; read from the table every second
    dispatched_here          this process dispatches it, and its queue is as the counts below say
    outstanding              tasks that were chosen and have not ended
    held                     credit of requests that are about to choose tasks and have not committed
    reported_outstanding     `outstanding`, as its dispatcher published it; at most a second old
    reported_running         tasks that workers are known to run, as its dispatcher published it
    workers                  live workers that serve it, by name
    window_full              tasks were left waiting because the window was full: who ends some wakes the dispatcher
    changed_at               when a task of it was last chosen, or ended (monotonic seconds)
    recounted_at             what `changed_at` was when `outstanding` was last counted in the tables
    rebuilds                 how often its queue was rebuilt here: what was counted before is counted no more
    """

    def __init__(self, number: int, name: str, *, priority: int = 1, reserve: int = 0, max: int | None = None) -> None:
        self.number, self.name = number, name
        self.priority, self.reserve, self.max = priority, reserve, max
        self.pace, self.functions, self.share = Pace(), Functions(), Share()
        self.workers: dict[str, LiveWorker] = {}
        self.dispatched_here = self.window_full = False
        self.outstanding = self.held = 0
        self.reported_outstanding = self.reported_running = 0
        self.rebuilds = 0
        self.changed_at, self.recounted_at = time.monotonic(), 0.0

    # -- what changes

    def configure(self, priority: int, reserve: int, max: int | None) -> None:
        """Takes the table's values. A `max` below what is outstanding suspends: `recovery` takes the queue back; what runs goes on."""
        lowered = max is not None and (self.max is None or max < self.max)
        if lowered and max is not None and max < self.outstanding:
            self.suspend()
        self.priority, self.reserve, self.max = priority, reserve, max

    def suspend(self) -> None:
        """What is in its queue is not known any more: nothing is dispatched here until `recovery` has rebuilt it."""
        self.dispatched_here = False

    def record_chosen(self, count: int) -> None:
        """Counts tasks that were chosen, and are on their way to the queue."""
        self.outstanding += count
        self.changed_at = time.monotonic()

    def record_left(self, count: int) -> None:
        """Counts tasks that are not outstanding any more: they ended, or were taken back."""
        self.outstanding = max(0, self.outstanding - count)
        self.changed_at = time.monotonic()

    def record_beat(self, beat: Beat, now: float) -> bool:
        """Takes a heartbeat that came at `now`. Returns whether the worker can do more, or less, than before: mostly not."""
        before = self.workers.get(beat.worker)
        self.workers[beat.worker] = LiveWorker(beat, now)
        if before is not None and _ability(before.beat) == _ability(beat):
            return False
        self.functions.update(self.beats)
        return True

    def remove_worker(self, worker: str) -> None:
        """The worker does not serve the partition any more, or has fallen silent."""
        del self.workers[worker]
        self.functions.update(self.beats)

    # -- what follows from it

    @property
    def beats(self) -> list[Beat]:
        """The last heartbeats of its live workers."""
        return [worker.beat for worker in self.workers.values()]

    @property
    def slots(self) -> int:
        """Slots of the workers that are well."""
        return sum(beat.slots for beat in self.beats if not beat.unwell)

    @property
    def window(self) -> int:
        """How many tasks may be outstanding at once."""
        window = self.pace.window(self.slots)
        return window if self.max is None else min(window, self.max)

    @property
    def credit(self) -> int:
        """How many more tasks may be chosen, here and now."""
        return max(0, self.window - self.outstanding - self.held) if self.dispatched_here else 0

    @property
    def places_soon(self) -> bool:
        """Tasks are set aside that a live worker may be able to run: look at it more often."""
        return self.dispatched_here and self.functions.has_unplaced and bool(self.functions.offered)

    @property
    def counted(self) -> int:
        """Tasks outstanding, whichever process counts them."""
        return self.outstanding if self.dispatched_here else self.reported_outstanding

    @property
    def under_reserve(self) -> bool:
        """It runs less than it has reserved and has something that could run: its tasks come before all others'."""
        return self.reported_running < self.reserve and self.counted > self.reported_running


def _ability(beat: Beat) -> tuple[object, ...]:
    return beat.functions, beat.slots, beat.unwell


def count_by_partition(rows: Iterable[Mapping[str, Any]]) -> dict[int, int]:
    """How many rows there are of each partition (column `partition`)."""
    counts: dict[int, int] = defaultdict(int)
    for row in rows:
        counts[row["partition"]] += 1
    return counts
