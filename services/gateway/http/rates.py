"""How many requests each asker may make: so many at once, then so many a second.

The bound is the generic cell rate algorithm (ITU-T I.371): of each asker one moment is kept, the one until which his requests
so far are paid for.
"""

import math
from typing import Final

from shared.contracts.errors import RateLimited
from shared.runtime.clock import Clock

MOST_KEPT: Final = 10_000
"""Askers that are remembered; beyond that those are forgotten who have not asked for longest."""


class Rates:
    """`per_second`: requests of one asker; `burst`: how many he may make at once after a while without any."""

    def __init__(self, what: str, clock: Clock, *, per_second: float, burst: int) -> None:
        self._what, self._clock = what, clock
        self._each, self._ahead = 1 / per_second, (burst - 1) / per_second
        self._paid_until: dict[str, float] = {}

    def check(self, asker: str) -> None:
        """RateLimited if a request would be too much now; counts none."""
        late = self._paid_until.get(asker, 0.0) - self._clock.monotonic() - self._ahead
        if late > 0:
            raise self._refusal(late)

    def take(self, asker: str) -> None:
        """Counts a request. RateLimited, and it does not count, if there were too many; the error says when to come back."""
        now = self._clock.monotonic()
        paid = max(self._paid_until.pop(asker, now), now)
        late = paid - now - self._ahead
        self._paid_until[asker] = paid if late > 0 else paid + self._each
        if len(self._paid_until) > MOST_KEPT:
            del self._paid_until[next(iter(self._paid_until))]
        if late > 0:
            raise self._refusal(late)

    def _refusal(self, late: float) -> RateLimited:
        return RateLimited(f"more than {1 / self._each:g} {self._what} a second", retry_after=max(1, math.ceil(late)))
