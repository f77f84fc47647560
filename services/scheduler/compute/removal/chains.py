"""Purging and deleting sessions: chains, because they take long and must end.

A worker that was not known to run something, or that could not be reached, may store a value after its session was purged:
so the prefix is emptied once more when every worker must know of it.
"""

import contextlib
from datetime import timedelta

from services.scheduler.compute.removal import store
from services.scheduler.compute.removal.steps import OfSession, RemovalSteps
from services.scheduler.compute.sessions import store as sessions
from shared.bus.client import Bus
from shared.chain.chains import Chains
from shared.chain.declare import Chain, retry
from shared.chain.store import OperationOf
from shared.contracts.errors import NotFound
from shared.contracts.ids import uuid7
from shared.db.sql import Row
from shared.runtime.clock import Clock
from shared.runtime.log import log
from shared.runtime.retry import Backoff
from shared.service.unit import Unit, Units

SOON = Backoff(first=0.5, factor=2, ceiling=60)
"""Between tries of a step."""
LATE = timedelta(minutes=5)
"""After which the session's prefix is emptied once more."""


class Removal:
    """The scheduler's chains, and how they are started."""

    def __init__(self, bus: Bus, units: Units, steps: RemovalSteps, clock: Clock) -> None:
        self._units, self._clock = units, clock
        self.purging = Chain(
            "purge", OfSession,
            retry(steps.stop_tasks, backoff=SOON), retry(steps.delete_objects, backoff=SOON),
            retry(steps.delete_values, backoff=SOON), retry(steps.mark_purged, backoff=SOON),
        )  # fmt: skip
        self.deleting = Chain(
            "delete", OfSession,
            retry(steps.cancel, backoff=SOON), retry(steps.stop_tasks, backoff=SOON),
            retry(steps.delete_objects, backoff=SOON), retry(steps.drop_rows, backoff=SOON),
            retry(steps.drop_session, backoff=SOON),
        )  # fmt: skip
        self.emptying = Chain("empty", OfSession, retry(steps.delete_objects, backoff=SOON))
        self.chains = Chains(bus, units, "scheduler", self.purging, self.deleting, self.emptying, clock=clock)

    async def purge(self, unit: Unit, row: Row) -> Row:
        """The session's row, which names the operation. The caller has locked it and checked its status."""
        return await self._start(unit, row, self.purging)

    async def delete(self, unit: Unit, row: Row) -> Row:
        """As `purge`. An operation that deletes it already goes on; one that purges it does no harm to this one."""
        if row["deleting"]:
            return row
        await store.mark_deleting(unit.connection, row["id"])
        return await self._start(unit, row, self.deleting)

    async def expire(self) -> int:
        """Deletes sessions whose time is over."""
        expired = await store.expired(self._units.pool)
        for session in expired:
            async with self._units.begin() as unit:
                with contextlib.suppress(NotFound):
                    await self.delete(unit, await sessions.lock(unit.connection, session))
            log.info("session.expired", session=str(session))
        return len(expired)

    async def _start(self, unit: Unit, row: Row, chain: Chain[OfSession]) -> Row:
        """As an operation of the session's owner, whoever asked for it. Neither kind can be cancelled: what is gone is gone."""
        id, state = uuid7(), OfSession(row["id"])
        shown = OperationOf(chain.name, row["owner"], f"sessions/{row['id']}")
        await self.chains.start(unit, chain, state, id=id, operation=shown)
        await self.chains.start(unit, self.emptying, state, at=self._clock.now() + LATE)
        return await store.begin_operation(unit.connection, row["id"], id)
