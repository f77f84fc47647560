"""Chains in memory: the same declarations and decisions, no bus, no database, a clock of its own.

Nothing runs by itself: `wait(id)` runs what is due and moves the clock to what is due next, `run()` runs what is due now.
Held to the same suite as the real ones (`conformance_chain`).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from shared.chain.attempt import run
from shared.chain.chains import check_cancel
from shared.chain.context import StepContext
from shared.chain.decide import Due, Effect, Emit, Failed, Position, Stopped, Succeeded, action, begin, decide, name_of
from shared.chain.declare import Chain, Registry
from shared.chain.effects import emit_operation
from shared.chain.explain import ChainExplanation, ChainInfo, explain, info
from shared.chain.machine import LIVE, Fault
from shared.chain.store import OperationOf, Row
from shared.contracts import states, subjects
from shared.contracts.errors import AlreadyExists, NotFound, TimedOut
from shared.contracts.events import ChainChanged
from shared.contracts.ids import uuid7
from shared.contracts.operations import Amount
from shared.service.unit import Unit

S = TypeVar("S", bound=msgspec.Struct)


class RecordedStep(StepContext):
    """What a step is given, where no chain is. `amounts`: the progress that it has reported, by unit."""

    def __init__(self, step: str = "step") -> None:
        self.amounts: dict[str, Amount] = {}
        super().__init__(uuid7(), "test", step, tries=0, fault=Fault.NONE, error="", save=self._keep)

    async def _keep(self, state: msgspec.Struct) -> None:
        pass

    async def progress(self, **amounts: Amount) -> None:
        self.amounts |= amounts


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    def move(self, seconds: float) -> None:
        """Lets `seconds` pass."""
        self.time += timedelta(seconds=seconds)


class MemoryUnit(Unit):
    """A unit of work without a database: `after` and the events happen when the block ends without an error."""

    def __init__(self) -> None:
        super().__init__(None)

    @property
    def events(self) -> list[tuple[str, bytes]]:
        """The events of the unit, as (subject, body)."""
        return self._events


class MemoryChains:
    """`events`: those that were published, in order, as (subject, body)."""

    def __init__(self, *chains: Chain[Any], clock: ManualClock | None = None) -> None:
        self.registry, self.clock = Registry(*chains), clock or ManualClock()
        self.rows: dict[UUID, Row] = {}
        self.events: list[tuple[str, bytes]] = []

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Unit]:
        """A unit whose changes of chains are undone if the block raises."""
        unit = MemoryUnit()
        before = dict(self.rows)
        try:
            yield unit
        except BaseException:
            self.rows = before
            raise
        self.events += unit.events
        for effect in unit.after:
            await effect()

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
        if chain not in self.registry:
            raise ValueError(f"chain {chain.name!r} is not one of this service's")
        id = id or uuid7()
        if (there := self.rows.get(id)) is not None:
            if there.kind != chain.name:
                raise AlreadyExists(f"{id} is another chain", field="id")
            return id
        now = self.clock.now()
        position, effects = begin(at or now)
        body, name = msgspec.json.encode(state), name_of(chain, position)
        row = Row(
            *(id, chain.name, chain.version, 1, 0, "", False, None, 0, name, body, "", now, now, None, position),
            operation=operation,
        )
        self.rows[id] = row
        self._enlist(unit, chain, row, effects)
        return id

    async def cancel(self, unit: Unit, id: UUID) -> ChainInfo:
        row = self._row(id)
        if check_cancel(row.position.status, row.position.fault, id):
            return info(row)
        if row.leased:
            position = msgspec.structs.replace(row.position, cancelling=True)
            self.rows[id] = msgspec.structs.replace(row, position=position, revision=row.revision + 1)
            emit_operation(unit, self._chain(row), self.rows[id])
            return info(row)
        chain = self._chain(row)
        position, effects = decide(chain, row.position, Stopped(), self.clock.now())
        return info(self._move(unit, chain, row, position, effects))

    async def get(self, id: UUID) -> ChainInfo:
        return info(self._row(id))

    async def explain(self, id: UUID) -> ChainExplanation:
        row = self._row(id)
        return explain(self._chain(row), row, self.clock.now())

    async def wait(self, id: UUID, *, timeout: float = 30.0) -> ChainInfo:
        """Runs everything, in the order in which it is due, until the chain has ended; `timeout` by the manual clock."""
        end = self.clock.now() + timedelta(seconds=timeout)
        while (row := self._row(id)).position.status in LIVE:
            await self.run()
            pending = [one.position.due_at for one in self.rows.values() if one.position.due_at is not None]
            if self._row(id).position.status in LIVE:
                soonest = min(pending)
                if soonest > end:
                    raise TimedOut(f"chain {id} has not ended within {timeout:g} s")
                self.clock.time = max(self.clock.time, soonest)
        return info(row)

    async def run(self) -> int:
        """Runs what is due now, and what becomes due by it; how many steps."""
        count = 0
        while due := [
            row for row in self.rows.values() if row.position.due_at and row.position.due_at <= self.clock.now()
        ]:
            await self._run(min(due, key=lambda row: (row.position.due_at, row.id)))
            count += 1
        return count

    async def _run(self, row: Row) -> None:
        chain, what = self._chain(row), action(self._chain(row), row.position)

        async def save(state: msgspec.Struct) -> None:
            self.rows[row.id] = msgspec.structs.replace(self._row(row.id), state=msgspec.json.encode(state))

        async def report(progress: dict[str, Amount]) -> None:
            async with self.begin() as unit:
                emit_operation(unit, chain, self._save_progress(row.id, progress))

        here = row.position
        ctx = StepContext(
            *(row.id, row.kind, what.name),
            tries=here.tries,
            fault=here.fault,
            error=here.error,
            save=save,
            report=report,
            monotonic=self.clock.monotonic,
        )
        self.rows[row.id] = msgspec.structs.replace(row, leased=True, claim=row.claim + 1, runner="memory")
        outcome, state = await run(chain, row.state, what, ctx)
        try:
            await self._commit(chain, row.id, outcome, state, ctx)
        except Exception as error:
            await self._commit(chain, row.id, Failed(Fault.SYSTEM, f"{type(error).__name__}: {error}"), None, ctx)

    def _save_progress(self, id: UUID, progress: dict[str, Amount]) -> Row:
        row = self._row(id)
        merged = msgspec.json.encode(msgspec.json.decode(row.progress, type=dict[str, Amount]) | progress)
        self.rows[id] = msgspec.structs.replace(row, progress=merged, revision=row.revision + 1)
        return self.rows[id]

    async def _commit(self, chain: Chain[Any], id: UUID, outcome: Any, state: bytes | None, ctx: StepContext) -> None:
        async with self.begin() as unit:
            if ctx.unsaved:
                self._save_progress(id, ctx.unsaved)
            if isinstance(outcome, Succeeded):
                for work in ctx.commits:
                    await work(unit)
                for subject, body in ctx.events:
                    unit.emit(subject, body)
                if ctx.result is not None:
                    self.rows[id] = msgspec.structs.replace(self._row(id), result=ctx.result)
                if ctx.handed_over and not self._row(id).position.cancelling:
                    self.rows[id] = msgspec.structs.replace(self._row(id), operation=None)
            row = self._row(id)
            position, effects = decide(chain, row.position, outcome, self.clock.now())
            if state is not None:
                row = msgspec.structs.replace(row, state=state)
            self._move(unit, chain, row, position, effects)

    def _move(self, unit: Unit, chain: Chain[Any], row: Row, position: Position, effects: list[Effect]) -> Row:
        now = self.clock.now()
        moved = msgspec.structs.replace(
            row,
            position=position,
            step_name=name_of(chain, position),
            epoch=row.epoch + 1,
            revision=row.revision + 1,
            leased=False,
            runner="",
            updated_at=now,
            ended_at=None if position.due_at else now,
        )
        self.rows[row.id] = moved
        self._enlist(unit, chain, moved, effects)
        return moved

    def _enlist(self, unit: Unit, chain: Chain[Any], row: Row, effects: list[Effect]) -> None:
        emit_operation(unit, chain, row)
        for effect in effects:
            match effect:
                case Emit(event):
                    here = row.position
                    status = states.name_of(here.status)
                    changed = ChainChanged(str(row.id), row.kind, status, row.step_name, here.error)
                    unit.emit(subjects.event("chain", event, row.id), changed)
                case Due():
                    pass  # the rows are looked at, not a queue

    def _row(self, id: UUID) -> Row:
        try:
            return self.rows[id]
        except KeyError:
            raise NotFound(f"there is no chain {id}") from None

    def _chain(self, row: Row) -> Chain[Any]:
        chain = self.registry.find(row.kind, row.version)
        assert chain is not None
        return chain

    def assert_empty(self) -> None:
        """Every chain has ended."""
        live = [f"{row.kind} at {row.step_name}" for row in self.rows.values() if row.position.status in LIVE]
        assert not live, f"chains that have not ended: {live}"
