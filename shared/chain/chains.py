"""What a service does with its chains: start, get, wait, cancel. The `Runner` runs them."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

import msgspec

from shared.bus.client import Bus
from shared.chain import store
from shared.chain.decide import Stopped, begin, decide
from shared.chain.declare import Chain, Registry
from shared.chain.effects import Effects, emit_operation
from shared.chain.explain import ChainExplanation, ChainInfo, explain, info
from shared.chain.machine import LIVE, MACHINE, ChainStatus, Fault
from shared.chain.store import OperationOf
from shared.contracts.errors import AlreadyExists, NotFound, TimedOut
from shared.contracts.ids import uuid7
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.retry import Backoff
from shared.service.unit import Unit, Units

S = TypeVar("S", bound=msgspec.Struct)


class ChainsPort(Protocol):
    """Chains, real or in memory (shared/testing/chain.py)."""

    async def start(
        self,
        unit: Unit,
        chain: Chain[S],
        state: S,
        *,
        id: UUID | None = None,
        at: datetime | None = None,
        operation: OperationOf | None = None,
    ) -> UUID:
        """Starts a chain with the commit of `unit` (its first step at the time `at`, if given). `operation`: as which it is shown.

        A chain that has the same id already is left alone; AlreadyExists if it is one of another kind.
        """
        ...

    async def cancel(self, unit: Unit, id: UUID) -> ChainInfo:
        """Stops a chain and undoes what it did. Conflict if it is done or failed; repeating it is harmless."""
        ...

    async def get(self, id: UUID) -> ChainInfo:
        """NotFound if there is none."""
        ...

    async def wait(self, id: UUID, *, timeout: float = 30.0) -> ChainInfo:
        """Until the chain has ended; TimedOut after so many seconds."""
        ...

    async def explain(self, id: UUID) -> ChainExplanation:
        """Why the chain is where it is."""
        ...


class Chains:
    """The chains of one service, in the `chains` table of its schema."""

    def __init__(self, bus: Bus, units: Units, service: str, *chains: Chain[Any], clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.units, self.registry, self.service = units, Registry(*chains), service
        self.effects = Effects(bus, service, self.clock)
        self.on_cancel: Callable[[UUID], None] = lambda id: None

    async def start(
        self,
        unit: Unit,
        chain: Chain[S],
        state: S,
        *,
        id: UUID | None = None,
        at: datetime | None = None,
        operation: OperationOf | None = None,
    ) -> UUID:
        """See `ChainsPort.start`. ValueError if the chain is not one of this service's."""
        if chain not in self.registry:
            raise ValueError(f"chain {chain.name!r} is not one of this service's")
        id = id or uuid7()
        position, effects = begin(at or self.clock.now())
        row = await store.insert(unit.connection, id, chain, msgspec.json.encode(state), position, operation)
        if row is not None:
            self.effects.enlist(unit, chain, row, effects)
            return id
        there = await store.find(unit.connection, id)
        if there is None or there.kind != chain.name:
            raise AlreadyExists(f"{id} is another chain", field="id")
        return id

    async def cancel(self, unit: Unit, id: UUID) -> ChainInfo:
        """See `ChainsPort.cancel`. Whoever is at the step stops it first."""
        row = await store.lock(unit.connection, id)
        if row is None:
            raise NotFound(f"there is no chain {id}")
        if check_cancel(row.position.status, row.position.fault, id):
            return info(row)
        chain = self.registry.find(row.kind, row.version)
        if row.leased or chain is None:
            # Whoever is at the step stops it first; then what it did is undone.
            row = await store.ask_cancel(unit.connection, id)
            emit_operation(unit, chain, row)
            unit.after.append(self._nudge(id))
            return info(row)
        position, effects = decide(chain, row.position, Stopped(), self.clock.now())
        row = await store.move(unit.connection, chain, row, position)
        self.effects.enlist(unit, chain, row, effects)
        return info(row)

    def _nudge(self, id: UUID) -> Any:
        async def nudge() -> None:
            self.on_cancel(id)

        return nudge

    async def get(self, id: UUID) -> ChainInfo:
        """See `ChainsPort.get`."""
        return info(await self._find(id))

    async def list(
        self, *, kind: str = "", live: bool = False, before: UUID | None = None, size: int = 100
    ) -> list[ChainInfo]:
        """Newest first; `live`: only those that have not ended; `before`: the last id of the page before."""
        return [info(row) for row in await store.page(self.units.pool, kind, live, before, size)]

    async def wait(self, id: UUID, *, timeout: float = 30.0) -> ChainInfo:
        """See `ChainsPort.wait`."""
        backoff, tries = Backoff(first=0.02, ceiling=0.5), 0
        try:
            async with asyncio.timeout(timeout):
                while (row := await self._find(id)).position.status in LIVE:
                    await asyncio.sleep(backoff.delay(tries))
                    tries += 1
        except TimeoutError:
            raise TimedOut(f"chain {id} has not ended within {timeout:g} s") from None
        return info(row)

    async def explain(self, id: UUID) -> ChainExplanation:
        """See `ChainsPort.explain`."""
        row = await self._find(id)
        return explain(self.registry.find(row.kind, row.version), row, self.clock.now())

    async def _find(self, id: UUID) -> store.Row:
        row = await store.find(self.units.pool, id)
        if row is None:
            raise NotFound(f"there is no chain {id}")
        return row


def check_cancel(status: ChainStatus, fault: Fault, id: UUID) -> bool:
    """Whether a chain is being cancelled already; Conflict if it cannot be."""
    if status is ChainStatus.CANCELLED or (status is ChainStatus.UNDOING and fault is Fault.CANCELLED):
        return True
    if status is not ChainStatus.RUNNING:
        raise MACHINE.refusal("cancel", status, id)
    return False
