"""Repeating what failed: how long to pause between tries, and a loop that does it."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

T = TypeVar("T")


class Backoff(msgspec.Struct, frozen=True):
    """The pause before the n-th repeat (from 0), in seconds: first × factor^n, at most `ceiling`, varied by ± `jitter` of itself."""

    first: float = 0.1
    factor: float = 2.0
    ceiling: float = 10.0
    jitter: float = 0.2

    def delay(self, tries: int) -> float:
        """Seconds to wait after `tries` failures (from 0)."""
        flat = min(self.ceiling, self.first * self.factor ** min(tries, 64))
        return flat * (1 + random.uniform(-self.jitter, self.jitter))  # noqa: S311 (no secret hangs on it)


async def retry(
    call: Callable[[], Awaitable[T]],
    *,
    on: tuple[type[BaseException], ...],
    backoff: Backoff = Backoff(),
    attempts: int | None = None,
    failed: Callable[[BaseException, int], None] | None = None,
) -> T:
    """Calls until it succeeds, and returns what it returns.

    on        errors that are repeated; others are raised at once
    attempts  tries after which the last error is raised; None: never
    failed    called after each failure with the error and the number of failures so far
    """
    tries = 0
    while True:
        try:
            return await call()
        except on as error:
            tries += 1
            if attempts is not None and tries >= attempts:
                raise
            if failed is not None:
                failed(error, tries)
            await asyncio.sleep(backoff.delay(tries - 1))
