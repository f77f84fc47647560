"""How fast a partition's workers are: from that follows how much to put before them."""

import time
from collections.abc import Callable

AHEAD = 0.15
"""Seconds of work that the window holds."""
LARGEST = 6_000
PER_SLOT = 4
"""The window's floor: so many tasks for each slot of a live worker."""
MEASURE = 0.01
"""Seconds over which a rate is measured at least."""


class Pace:
    """The rate of one partition, measured only while tasks wait: an idle partition is not slow."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._ended = 0
        self._since: float | None = None
        self._rate = 0.0
        self._size = 0
        self.hungry = False
        """Tasks were left waiting when the window was full: whoever ends some should wake the dispatcher."""

    def window(self, slots: int) -> int:
        """Tasks that may be outstanding, with `slots` live slots."""
        return max(self._size, PER_SLOT * max(2, slots))

    def ended(self, n: int) -> None:
        self._ended += n

    def idle(self) -> None:
        """Nothing waits: what ends from here on says nothing about how fast the workers could be."""
        self.hungry, self._since, self._ended = False, None, 0

    def dispatched(self, full: bool) -> None:
        """A round of dispatch is done; `full` if it used all the credit, so that tasks may be waiting."""
        now = self._monotonic()
        self.hungry = full
        if self._since is None:
            self._since, self._ended = now, 0
            return
        past = now - self._since
        if past < MEASURE or not self._ended:
            return
        rate = self._ended / past
        self._rate = rate if not self._rate else 0.5 * (self._rate + rate)
        self._since, self._ended = now, 0
        wanted = min(LARGEST, int(self._rate * AHEAD))
        self._size = min(wanted, max(64, 2 * self._size)) if wanted > self._size else max(wanted, self._size * 3 // 4)
