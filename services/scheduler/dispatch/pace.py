"""How fast a partition's workers could be: from that follows how much to put before them.

What is measured is how long the tasks' code runs, not how many end a second: the latter follows from the window itself, and a
window that shrinks because the machine is busy would keep it idle next.

What comes after a pause may be something else: a window's worth of tasks that do nothing would be minutes of others.
"""

import time
from collections.abc import Callable

AHEAD = 0.15
"""Seconds of the workers' work that the window holds."""
LARGEST = 5_000
"""Most tasks of a window: what two cores end in about `AHEAD` when the tasks do nothing."""
PER_SLOT = 4
"""Tasks for each slot of a live worker: the smallest window of tasks that are not slow."""
SLOW = 0.5
"""Seconds of a task from which on one that waits in the queue costs others more than it saves: what is there goes by no turn."""
WEIGHT = 0.2
"""Weight of the newest measurement in the moving average (0 to 1)."""
KEPT = 1.0
"""Seconds without a task that ended, after which the pace is unknown again; of slow tasks, as long as three of them take more."""


class Pace:
    """The pace of one partition: a moving average of how long its tasks' code runs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: float | None = None
        self._until = 0.0

    def record(self, seconds: float) -> None:
        """A task's code has run so long."""
        known = self._known()
        self._seconds = seconds if known is None else known + WEIGHT * (seconds - known)
        self._until = self._clock() + KEPT + (3 * self._seconds if self._seconds >= SLOW else 0)

    def _known(self) -> float | None:
        return self._seconds if self._clock() < self._until else None

    def window(self, slots: int) -> int:
        """How many tasks may be outstanding, with so many slots of live workers."""
        floor, seconds = PER_SLOT * max(2, slots), self._known()
        if not slots:  # the first worker that comes finds something
            return floor
        if seconds is None or seconds >= SLOW:  # also those of which nobody knows: the first that ends says more
            return max(3, slots + slots // 2)
        return max(floor, min(LARGEST, int(slots * AHEAD / max(seconds, 1e-6))))
