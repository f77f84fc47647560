"""Finds steps that are due by the table but not under way: their message was lost, or whoever had it was killed."""

import time
from datetime import timedelta
from typing import Final

from shared.bus.client import Bus
from shared.chain import store
from shared.chain.chains import Chains
from shared.contracts.topology import STEPS
from shared.runtime.log import log
from shared.runtime.loop import Loop

MOST: Final = 500
"""Chains of one round; the next follows at once if there were as many."""
KEEP: Final = timedelta(days=30)
"""How long a chain that has ended can be looked at."""
FORGET_EVERY: Final = 3600.0


class Sweeper:
    """`grace`: seconds that a due step may wait; each time that it is found again, twice as long.

    When the bus says that STEPS was lost, everything that is due or scheduled is published again at once.
    """

    def __init__(self, bus: Bus, chains: Chains, *, grace: float, every: float) -> None:
        self._chains, self._grace = chains, timedelta(seconds=grace)
        self._lost = False
        self._forget_at = 0.0
        self._loop = Loop("chains", every, self.run_once)
        bus.on_connected(self._on_connected)

    async def run(self) -> None:
        """Looks again and again, until it is cancelled."""
        await self._loop.run()

    async def run_once(self) -> int:
        """How many it published."""
        lost, self._lost = self._lost, False
        # Behind a lost stream also what is due later: its schedule is gone.
        grace = timedelta(days=-36500) if lost else self._grace
        try:
            rows = await store.overdue(self._chains.units.pool, grace, all=lost, most=1_000_000 if lost else MOST)
        except Exception:
            self._lost = lost
            raise
        for row in rows:
            await self._chains.effects.due(row)
        if rows:
            log.info("chains.republished", count=len(rows), lost=lost)
        if len(rows) == MOST:
            self._loop.wake()
        if time.monotonic() >= self._forget_at:
            self._forget_at = time.monotonic() + FORGET_EVERY
            await store.forget(self._chains.units.pool, KEEP)
        return len(rows)

    async def _on_connected(self, lost: frozenset[str]) -> None:
        if STEPS.name in lost:
            self._lost = True
            self._loop.wake()
