"""The life of an offer: each change is one guarded UPDATE and one event, in one transaction.

Accepting takes two of them with the compute session made in between, under a key that is the offer's own: killed there, the
next accept or the sweep makes the same session and goes on.
"""

from uuid import UUID

from services.broker.offers import store
from services.broker.offers.grant import Grant
from services.broker.offers.machine import ENDS, MACHINE
from services.broker.sessions.compute import ComputeSessions
from shared.contracts import subjects
from shared.contracts.errors import HeadraceError
from shared.contracts.execution import Phase
from shared.contracts.states import name_of
from shared.runtime.clock import Clock
from shared.service.unit import Unit, Units

_BEGUN = frozenset({Phase.WAITING, Phase.PREPARING, Phase.AVAILABLE, Phase.RUNNING, Phase.RELEASING, Phase.COMPLETED})
"""Accepted, with a compute session: to accept these once more changes nothing."""


class Offers:
    """The offers of one site, and what they may become."""

    def __init__(self, units: Units, compute: ComputeSessions, clock: Clock, site: str) -> None:
        self._units, self._compute, self._clock, self.site = units, compute, clock, site

    async def accept(self, offer: UUID, grant: Grant) -> store.Row:
        """From OFFERED to a compute session; the same answer when it is asked again. `grant`: to act for the owner with."""
        async with self._units.begin() as unit:
            row = await store.lock(unit.connection, self.site, offer)
            row = await self._expired(unit, row)
            if store.phase_of(row) not in ENDS:
                row = await store.set_delegation(unit.connection, offer, grant)
            if store.phase_of(row) is Phase.OFFERED:
                row = await self.move(unit, row, "accept")
        phase = store.phase_of(row)
        if phase is Phase.ACCEPTED:
            return await self.start(row)
        if phase not in _BEGUN:
            raise MACHINE.refusal("accept", phase, offer)
        return row

    async def reject(self, offer: UUID, why: str = "") -> store.Row:
        """Harmless when it is rejected already."""
        async with self._units.begin() as unit:
            row = await store.lock(unit.connection, self.site, offer)
            row = await self._expired(unit, row)
            if store.phase_of(row) is Phase.OFFERED:
                return await self.move(unit, row, "reject", why)
        if store.phase_of(row) is not Phase.REJECTED:
            raise MACHINE.refusal("reject", store.phase_of(row), offer)
        return row

    async def release(self, offer: UUID) -> store.Row:
        """Gives it back, accepted or not. Harmless when it is cancelled already."""
        async with self._units.begin() as unit:
            row = await store.lock(unit.connection, self.site, offer)
            row = await self._expired(unit, row)
            if store.phase_of(row) not in ENDS:
                return await self.move(unit, row, "release")
        if store.phase_of(row) is not Phase.CANCELLED:
            raise MACHINE.refusal("release", store.phase_of(row), offer)
        return row

    async def start(self, row: store.Row) -> store.Row:
        """Makes the compute session of an accepted offer. The data are prepared when its tasks ask for them."""
        offer = row["id"]
        try:
            session = await self._compute.open(offer, row["delegation"], store.request_of(row))
        except HeadraceError as error:
            if error.retryable:
                raise
            async with self._units.begin() as unit:
                row = await store.lock(unit.connection, self.site, offer)
                return await self.move(unit, row, "fail", error.message) if _is_accepted(row) else row
        async with self._units.begin() as unit:
            row = await store.set_session(unit.connection, offer, session)
            if _is_accepted(row):
                row = await self.move(unit, row, "be ready")
                row = await self.move(unit, row, "run")
        return row

    async def move(self, unit: Unit, row: store.Row, verb: str, why: str = "") -> store.Row:
        """One step of the machine, with its event.

        What has ended holds nothing; but what is cancelled after it was accepted has a compute session, or is about to: its
        cores are free when the sweep has closed that.
        """
        before = store.phase_of(row)
        target = MACHINE.check(verb, before, row["id"])
        holds = target not in ENDS or (target is Phase.CANCELLED and before is not Phase.OFFERED)
        now = self._clock.now()
        note = store.messages(why, "ERROR" if target is Phase.FAILED else "INFO", now)
        moved = await store.move(unit.connection, row["id"], verb, holds=holds, messages=note, now=now)
        unit.emit(subjects.event("offer", name_of(target), row["id"]), store.changed(moved))
        return moved

    async def expire(self, offer: UUID) -> bool:
        """Moves an offer whose time is over to EXPIRED; whether it did."""
        async with self._units.begin() as unit:
            row = await store.lock(unit.connection, self.site, offer)
            before = store.phase_of(row)
            return store.phase_of(await self._expired(unit, row)) is not before

    async def _expired(self, unit: Unit, row: store.Row) -> store.Row:
        """The offer, moved to EXPIRED if nobody accepted it in time."""
        if store.phase_of(row) is Phase.OFFERED and row["expires_at"] <= self._clock.now():
            return await self.move(unit, row, "expire", "nobody accepted it in time")
        return row


def _is_accepted(row: store.Row) -> bool:
    return store.phase_of(row) is Phase.ACCEPTED
