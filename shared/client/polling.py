"""Looking again and again at what takes from a moment to hours."""

import asyncio

from shared.runtime.retry import Backoff

INTERVAL = Backoff(first=0.1, factor=1.3, ceiling=2)
"""Seconds between two looks: longer from time to time."""


class Pause:
    """`await pause()` between two looks. `longest`: seconds that it takes at most."""

    def __init__(self, longest: float = INTERVAL.ceiling) -> None:
        self._looks, self._longest = 0, longest

    async def __call__(self) -> None:
        await asyncio.sleep(min(INTERVAL.delay(self._looks), self._longest))
        self._looks += 1
