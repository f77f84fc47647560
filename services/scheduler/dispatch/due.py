"""The partitions that the dispatcher of this process is to look at next; each look costs two queries."""

import asyncio
from collections.abc import Iterable


class Due:
    """A set of partitions' numbers that can be waited for."""

    def __init__(self) -> None:
        self._numbers: set[int] = set()
        self._added = asyncio.Event()

    def add(self, numbers: Iterable[int]) -> None:
        """Tasks may be ready, or credit may be free, in these partitions."""
        self._numbers.update(numbers)
        self._added.set()

    async def wait(self, seconds: float) -> bool:
        """Waits until `add` was called since the last `take`; False: it was not within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._added.wait()
        except TimeoutError:
            return False
        return True

    def take(self) -> set[int]:
        """The numbers added since the last `take`."""
        self._added.clear()
        taken, self._numbers = self._numbers, set()
        return taken
