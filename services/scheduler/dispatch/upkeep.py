"""What keeps dispatch sound while it runs: heartbeats and leases, locks and recovery, preemption; put together."""

from typing import Any

import asyncpg

from services.scheduler.dispatch.heartbeats import Heartbeats
from services.scheduler.dispatch.leases import Leases
from services.scheduler.dispatch.locks import DispatchLocks
from services.scheduler.dispatch.parts import Parts
from services.scheduler.dispatch.preemption import Preemption
from services.scheduler.dispatch.recovery import Recovery
from services.scheduler.ports import Attempts
from services.scheduler.settings import LeaseSettings
from shared.bus.client import Bus
from shared.runtime.clock import Clock
from shared.runtime.loop import Loop
from shared.service.unit import Units


class Upkeep:
    """The background work of one scheduler process. `attempts`: who ends the attempts that are lost. `database_url`: for the connection that holds the locks.

    background   coroutines that run until they are cancelled
    """

    def __init__(
        self,
        bus: Bus,
        pool: "asyncpg.Pool[Any]",
        units: Units,
        parts: Parts,
        attempts: Attempts,
        clock: Clock,
        settings: LeaseSettings,
        database_url: str,
    ) -> None:
        registry, credit, gossip = parts.registry, parts.credit, parts.gossip
        lease, every = settings.lease_seconds, settings.beat_seconds
        self._registry, self._gossip = registry, gossip
        self._heartbeats = Heartbeats(bus, pool, registry, gossip, clock, every=every)
        self._locks = DispatchLocks(database_url, registry.suspend_all)
        leases = Leases(bus, pool, registry, credit, gossip, attempts, clock, lease=lease, every=every)
        recovery = Recovery(bus, pool, registry, gossip, self._locks, clock, wait=settings.recovery_seconds)
        preemption = Preemption(bus, pool, units, registry, credit, gossip, parts.control, clock)
        self.background = [
            Loop("recovery", 1.0, recovery.run_once).run,
            Loop("locks", 1.0, self._locks.keep).run,  # also while a queue is rebuilt
            Loop("preempt", 1.0, preemption.run_once).run,
            Loop("leases", every, leases.run_once).run,
        ]

    async def start(self) -> None:
        """Listens to the other schedulers and to workers. To be called before the loops run."""
        await self._gossip.listen()
        await self._registry.refresh()
        await self._heartbeats.listen()

    async def close(self) -> None:
        """Gives the locks back, so that another scheduler need not wait for them."""
        await self._locks.close()
