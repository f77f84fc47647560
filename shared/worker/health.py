"""Whether a worker can run what it is given: what it had no descriptors, processes, memory or disk for is no task's fault.

When something cannot be begun, as many tasks as run at that moment are all that may run. From then on the worker tries by itself,
with pauses, to start what it had no room for. Each time that this goes well one more task may run; with all slots it is well again.
"""

import asyncio
from collections.abc import Awaitable, Callable

from shared.runtime.log import log
from shared.runtime.retry import Backoff
from shared.worker.shortage import Unwell

FIRST, CEILING = 0.5, 15.0
"""Seconds before the first try, and between two at most."""


class Health:
    """`unwell`: why it can run nothing, or less than its slots, in words; empty when it can. `allowed`: tasks that may run at once,
    `some_allowed`: set if there are any.

    changed   called when more may run than before, or less
    """

    def __init__(self, slots: int, changed: Callable[[], None]) -> None:
        self._slots, self._changed = slots, changed
        self.unwell, self.allowed = "", slots
        self._probe: Callable[[], Awaitable[None]] | None = None
        self._woken, self.some_allowed = asyncio.Event(), asyncio.Event()
        self.some_allowed.set()

    def fail(self, why: str, others: int, probe: Callable[[], Awaitable[None]] | None) -> None:
        """A task could not be begun. `others`: tasks that run; `probe`: tries what did not go, Unwell if it still does not."""
        if not self.unwell:
            log.warning("worker.unwell", why=why, allowed=min(self.allowed, others))
        self.unwell, self._probe = why, probe
        self._allow(min(self.allowed, others))
        self._woken.set()

    async def run(self) -> None:
        """Tries until it is well, and waits until it is not, until cancelled."""
        backoff, tries = Backoff(first=FIRST, ceiling=CEILING), 0
        while True:
            if not self.unwell:
                self._woken.clear()
                await self._woken.wait()
                tries = 0
            await asyncio.sleep(backoff.delay(tries))
            try:
                if self._probe is not None:
                    await self._probe()
            except Unwell as error:
                self.unwell = str(error)
                tries += 1
                continue
            except Exception as error:  # a try may go wrong in other ways; without this loop the worker would end
                log.warning("worker.probe_failed", error=repr(error))
                tries += 1
                continue
            tries = 0
            if self.allowed + 1 >= self._slots:
                self.unwell = ""
                log.info("worker.well")
            self._allow(min(self._slots, self.allowed + 1))

    def _allow(self, allowed: int) -> None:
        self.allowed = allowed
        if allowed:
            self.some_allowed.set()
        else:
            self.some_allowed.clear()
        self._changed()
