"""Carries out what a move of a chain entails: due steps and schedules on STEPS, events through the outbox."""

from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

import msgspec

from shared.bus.client import Bus
from shared.chain.decide import Due, Effect, Emit
from shared.chain.declare import Chain
from shared.chain.operation import operation_of
from shared.chain.store import Row
from shared.contracts import headers as h
from shared.contracts import subjects
from shared.contracts.events import ChainChanged
from shared.contracts.states import name_of
from shared.runtime.clock import Clock, rfc3339
from shared.runtime.log import log
from shared.service.unit import Unit

SOON: Final = timedelta(milliseconds=50)
"""What is due within this is published at once."""


class StepDue(msgspec.Struct, frozen=True):
    """A step is due. It counts only while the chain's row has this `epoch`; the rest is for people who look."""

    chain: UUID
    epoch: int
    kind: str
    version: int
    step: str
    tries: int


class Effects:
    """Publishes what the moves of one service's chains entail."""

    def __init__(self, bus: Bus, service: str, clock: Clock) -> None:
        self._bus, self.service, self._clock = bus, service, clock

    def enlist(self, unit: Unit, chain: Chain[Any], row: Row, effects: list[Effect]) -> None:
        """Makes the effects of a move happen with the commit of `unit`."""
        emit_operation(unit, chain, row)
        for effect in effects:
            match effect:
                case Emit(event):
                    here = row.position
                    changed = ChainChanged(str(row.id), row.kind, name_of(here.status), row.step_name, here.error)
                    unit.emit(subjects.event("chain", event, row.id), changed)
                case Due():
                    unit.after.append(partial(self.due, row))

    async def due(self, row: Row) -> None:
        """Publishes the step at which the chain stands, now or for later. Not waited for: the sweeper looks after it."""
        here = row.position
        assert here.due_at is not None
        step = StepDue(row.id, row.epoch, row.kind, row.version, row.step_name, here.tries)
        target = subjects.step(self.service, row.kind, row.step_name)
        # Everything that distinguishes one due step from another, and one republishing from the next.
        id = f"{row.id}:{row.epoch}:{row.step_name}:{here.tries}:{rfc3339(here.due_at)}:{row.sweeps}"
        headers = {"Nats-Msg-Id": id}
        if row.trace:
            headers[h.TRACE] = row.trace
        subject = target
        if here.due_at > self._clock.now() + SOON:
            # One schedule per subject, a later one replaces it; the target may not be the same subject; a time that
            # has passed when it arrives fires at once. A schedule left over by a cancelled chain comes too late.
            subject = subjects.schedule(self.service, str(row.id))
            headers |= {"Nats-Schedule": f"@at {rfc3339(here.due_at)}", "Nats-Schedule-Target": target}
        await self._bus.send(subject, msgspec.json.encode(step), headers)
        log.debug("chain.due", chain=str(row.id), kind=row.kind, step=row.step_name, tries=here.tries, subject=subject)


def emit_operation(unit: Unit, chain: Chain[Any] | None, row: Row) -> None:
    """Publishes, with the commit of `unit`, the operation that the chain is shown as, if it is one."""
    if row.operation is not None:
        unit.emit(subjects.event("operation", "changed", row.id), operation_of(chain, row))
