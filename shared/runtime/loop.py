"""Background loops: `run_once()` returns what it did, which is logged unless it is nothing; an error does not end the loop."""

import asyncio
from collections.abc import Awaitable, Callable

from shared.runtime.log import log
from shared.runtime.retry import Backoff


class Loop:
    """Calls `run_once` every `every` seconds, and at once after `wake`. After an error it pauses by `backoff`."""

    def __init__(
        self,
        name: str,
        every: float,
        run_once: Callable[[], Awaitable[object]],
        backoff: Backoff = Backoff(first=0.2),
    ) -> None:
        if every <= 0:
            raise ValueError(f"{name}: every must be positive")
        self.name, self.every, self._run_once, self._backoff = name, every, run_once, backoff
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Makes the next call of `run_once` come as soon as possible."""
        self._woken.set()

    async def run(self) -> None:
        """Runs until it is cancelled."""
        failures = 0
        while True:
            pause = self.every
            self._woken.clear()
            try:
                done = await self._run_once()
                failures = 0
                if done:
                    log.debug("loop.ran", loop=self.name, result=done)
            except Exception as error:
                pause = max(self._backoff.delay(failures), min(self.every, 0.05))
                failures += 1
                log.warning("loop.failed", loop=self.name, error=repr(error), again_in=round(pause, 2), exc_info=True)
            try:
                async with asyncio.timeout(pause):
                    await self._woken.wait()
            except TimeoutError:
                continue
            if failures:  # woken after a failure: still not a hot loop
                await asyncio.sleep(min(pause, 0.2))
