"""Which functions the live workers of a partition have, and which of these the dispatcher may choose now.

Everything here is decided from heartbeats and the time; what waits in the tables is `placement`'s. The rules and their reasons:
docs/adr/0023-function-placement.md.
"""

import time
from collections.abc import Callable, Collection

from services.scheduler.dispatch.pace import LARGEST
from shared.contracts.work import Beat

TICK = 0.1
"""Seconds between two tries to place tasks that were set aside."""
BUSY = 1.0
"""Seconds between two tries while every worker that has the function is busy with something else."""
LATELY = 2.0
"""Seconds after a task of a function has ended in which there may be room for another one: a heartbeat is as old as that."""


class Functions:
    """The functions of one partition.

    offered       names of the functions that any live worker has; None: no live worker is known, and everything is chosen
    open          those of `offered` that lanes and reports may choose; a function of which too many tasks are set aside is
                  not among them. None: all
    has_unplaced  tasks of the partition are set aside, or may be
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.offered: frozenset[str] | None = None
        self.open: frozenset[str] | None = None
        self.has_unplaced = False
        self._ended_at: dict[str, float] = {}
        self._tried_at: dict[str, float] = {}
        self._checked_at = -TICK

    def update(self, beats: Collection[Beat]) -> None:
        """Takes the last heartbeats of all live workers; call it when the workers or their functions have changed."""
        self.offered = frozenset(name for beat in beats for name in beat.functions) if beats else None
        self.open, self._checked_at, self._tried_at = self.offered, -TICK, {}
        self._ended_at = {name: at for name, at in self._ended_at.items() if name in (self.offered or ())}

    def record_end(self, function: str) -> None:
        """Notes that a task of `function` has just ended: there may be room for another one."""
        if self.offered is not None and function in self.offered:
            self._ended_at[function] = self._clock()

    def check_due(self) -> bool:
        """Whether it is time to place what was set aside. True at most once every `TICK` seconds."""
        if not self.offered or self._clock() - self._checked_at < TICK:
            return False
        self._checked_at = self._clock()
        return True

    def close(self, names: Collection[str]) -> None:
        """Closes these functions: no more of their tasks are chosen while so many are set aside. All others are open."""
        if self.offered is not None:
            self.open = self.offered.difference(names)

    def allowance(self, function: str, beats: Collection[Beat], window: Callable[[int], int]) -> int:
        """How many tasks of `function` that were set aside have their turn now.

        `beats`: of all live workers. `window`: how many tasks may be outstanding with a number of slots.
        """
        having = [beat for beat in beats if function in beat.functions]
        if not having:
            return 0
        if len(having) == len(beats):
            return LARGEST  # whichever worker takes them has the function
        slots, now = sum(beat.slots for beat in having), self._clock()
        ended_lately = now - self._ended_at.get(function, -LATELY) < LATELY
        if all(len(beat.holds) >= beat.slots for beat in having) and not ended_lately:
            if now - self._tried_at.get(function, -BUSY) < BUSY:
                return 0
            self._tried_at[function] = now
            return slots
        return window(slots)
