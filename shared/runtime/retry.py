"""Trying again: how long to wait, and a loop that does it."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

T = TypeVar("T")


class Backoff(msgspec.Struct, frozen=True):
    """Seconds before the n-th repeat: first × factor^n, at most `ceiling`, spread by ± `jitter` of itself."""

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
    """Calls until it works. Errors other than `on`, and the last of `attempts` tries (None: endless), are raised."""
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
