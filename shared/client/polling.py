"""Looking again and again at what takes from a moment to hours."""

import asyncio

from shared.runtime.retry import Backoff

INTERVAL = Backoff(first=0.1, factor=1.3, ceiling=2)
"""Seconds between two looks: longer from time to time."""


class Pause:
    """`await pause()` between two looks."""

    def __init__(self) -> None:
        self._looks = 0

    async def __call__(self) -> None:
        await asyncio.sleep(INTERVAL.delay(self._looks))
        self._looks += 1
