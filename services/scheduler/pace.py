"""How fast a partition's workers could be: from that follows how much to put before them.

What is measured is how long the tasks' code runs, not how many end a second: the latter follows from the window itself, and a
window that shrinks because the machine is busy would keep it idle next.
"""

AHEAD = 0.15
"""Seconds of the workers' work that the window holds."""
LARGEST = 5_000
"""Most tasks of a window: what two cores end in about `AHEAD` when the tasks do nothing."""
PER_SLOT = 4
"""The window's floor, and what it is until a task has ended: so many tasks for each slot of a live worker."""
WEIGHT = 0.2
"""Of the newest measurement."""


class Pace:
    """The pace of one partition."""

    def __init__(self) -> None:
        self._seconds: float | None = None
        self.hungry = False
        """Tasks were left waiting when the window was full: whoever ends some should wake the dispatcher."""

    def took(self, seconds: float) -> None:
        """A task's code ran so long."""
        self._seconds = seconds if self._seconds is None else self._seconds + WEIGHT * (seconds - self._seconds)

    def window(self, slots: int) -> int:
        """Tasks that may be outstanding, with `slots` live slots."""
        floor = PER_SLOT * max(2, slots)
        if self._seconds is None:
            return floor
        return max(floor, min(LARGEST, int(slots * AHEAD / max(self._seconds, 1e-6))))
