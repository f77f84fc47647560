"""Whether a worker can run tasks: a lack of descriptors, processes, memory or disk is the worker's fault, never the task's.

When a task cannot be begun, no more tasks may run than run at that moment. From then on the worker tries by itself, with pauses,
to begin the like. Each time that it succeeds, one more task may run; when all slots may be used, it has recovered.
"""

import asyncio
from collections.abc import Awaitable, Callable

from shared.runtime.log import log
from shared.runtime.retry import Backoff
from shared.worker.shortage import ResourceShortage

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
"""Seconds before the first try, and at most between two tries."""


class Health:
    """How many tasks may run at once.

    allowed        that number, at most `slots`
    some_allowed   set while it is not 0
    problem        why it is less than `slots`, for people; empty if it is not
    on_change      called when `allowed` has changed
    """

    def __init__(self, slots: int, on_change: Callable[[], None]) -> None:
        self._slots, self._on_change = slots, on_change
        self.problem, self.allowed = "", slots
        self._probe: Callable[[], Awaitable[None]] | None = None
        self._failed, self.some_allowed = asyncio.Event(), asyncio.Event()
        self.some_allowed.set()

    def fail(self, reason: str, others: int, probe: Callable[[], Awaitable[None]] | None) -> None:
        """A task could not be begun. `others`: tasks that run; `probe` begins the like, and raises ResourceShortage if that fails."""
        if not self.problem:
            log.warning("worker.short_of_resources", why=reason, allowed=min(self.allowed, others))
        self.problem, self._probe = reason, probe
        self._set_allowed(min(self.allowed, others))
        self._failed.set()

    async def run(self) -> None:
        """After each failure tries until all slots may be used again. Runs until it is cancelled."""
        backoff, tries = Backoff(first=FIRST_PAUSE, ceiling=LONGEST_PAUSE), 0
        while True:
            if not self.problem:
                self._failed.clear()
                await self._failed.wait()
                tries = 0
            await asyncio.sleep(backoff.delay(tries))
            try:
                if self._probe is not None:
                    await self._probe()
            except ResourceShortage as error:
                self.problem = str(error)
                tries += 1
                continue
            except Exception as error:  # a try may go wrong in other ways; without this loop the worker would end
                log.warning("worker.probe_failed", error=repr(error))
                tries += 1
                continue
            tries = 0
            if self.allowed + 1 >= self._slots:
                self.problem = ""
                log.info("worker.recovered")
            self._set_allowed(min(self._slots, self.allowed + 1))

    def _set_allowed(self, allowed: int) -> None:
        self.allowed = allowed
        if allowed:
            self.some_allowed.set()
        else:
            self.some_allowed.clear()
        self._on_change()
