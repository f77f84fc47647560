"""Purging and deleting sessions: chains, because they take long and must end.

A worker that was not known to run something, or that could not be reached, may store a value after its session was purged:
so the prefix is emptied once more when every worker must have heard of it.
"""

from datetime import timedelta
from uuid import UUID

from services.scheduler import store
from services.scheduler.compute.removal.steps import OfSession, Removing
from shared.bus.client import Bus
from shared.chain.chains import Chains
from shared.chain.declare import Chain, retry
from shared.contracts.ids import uuid7
from shared.runtime.clock import Clock
from shared.runtime.log import log
from shared.runtime.retry import Backoff
from shared.service.unit import Unit, Units

Q = store.Q
SOON = Backoff(first=0.5, factor=2, ceiling=60)
"""Between tries of a step."""
LATE = timedelta(minutes=5)
"""After which the session's prefix is emptied once more."""


class Removal:
    """The scheduler's chains, and how they are started."""

    def __init__(self, bus: Bus, units: Units, steps: Removing, clock: Clock) -> None:
        self._units, self._clock = units, clock
        self.purging = Chain(
            "purge", OfSession,
            retry(steps.stop_tasks, backoff=SOON), retry(steps.delete_objects, backoff=SOON),
            retry(steps.forget_values, backoff=SOON), retry(steps.purged, backoff=SOON),
        )  # fmt: skip
        self.deleting = Chain(
            "delete", OfSession,
            retry(steps.cancel, backoff=SOON), retry(steps.stop_tasks, backoff=SOON),
            retry(steps.delete_objects, backoff=SOON), retry(steps.drop_rows, backoff=SOON),
            retry(steps.deleted, backoff=SOON),
        )  # fmt: skip
        self.emptying = Chain("empty", OfSession, retry(steps.delete_objects, backoff=SOON))
        self.chains = Chains(bus, units, "scheduler", self.purging, self.deleting, self.emptying, clock=clock)

    async def purge(self, unit: Unit, session: UUID) -> store.Row:
        """The session's row, which names the chain. The caller has locked it and checked its status."""
        return await self._start(unit, session, self.purging)

    async def delete(self, unit: Unit, row: store.Row) -> store.Row:
        """As `purge`. A chain that deletes it already goes on; one that purges it does no harm to this one."""
        if row["deleting"]:
            return row
        await unit.connection.execute(Q["mark_deleting"], row["id"])
        return await self._start(unit, row["id"], self.deleting)

    async def expire(self) -> int:
        """Deletes sessions whose time is over."""
        rows = await self._units.pool.fetch(Q["expired"], None)
        for found in rows:
            async with self._units.begin() as unit:
                row = await unit.connection.fetchrow(Q["lock_session"], found["id"])
                if row is not None:
                    await self.delete(unit, row)
            log.info("session.expired", session=str(found["id"]))
        return len(rows)

    async def _start(self, unit: Unit, session: UUID, chain: Chain[OfSession]) -> store.Row:
        id, state = uuid7(), OfSession(session)
        row: store.Row = await unit.connection.fetchrow(Q["begin_operation"], session, id)
        await self.chains.start(unit, chain, state, id=id)
        await self.chains.start(unit, self.emptying, state, at=self._clock.now() + LATE)
        return row
