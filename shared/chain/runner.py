"""Takes due steps from the bus and runs them: claim, run, commit state and what follows, publish, acknowledge last."""

import asyncio
import os
import socket
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from nats.aio.msg import Msg

from shared.bus import trace
from shared.bus.client import Bus
from shared.bus.pull import Pull
from shared.chain import store
from shared.chain.attempt import Lease, attempt, context
from shared.chain.chains import Chains
from shared.chain.context import StepContext
from shared.chain.decide import Failed, Outcome, Stopped, Succeeded, action, decide
from shared.chain.declare import Chain
from shared.chain.effects import StepDue
from shared.chain.errors import Superseded
from shared.chain.machine import LIVE, Fault
from shared.chain.store import Row
from shared.chain.sweep import Sweeper
from shared.contracts.errors import HeadraceError, Invalid, Unavailable
from shared.contracts.topology import STEPS
from shared.db.pool import translate
from shared.runtime.log import log
from shared.runtime.retry import Backoff, retry
from shared.service.middleware.poison import guard

LEASE: Final = 15.0
"""Seconds for which a step belongs to whoever runs it, unless renewed: how long a killed process holds things up."""
COMMIT_TRIES: Final = 20
"""Tries to commit what a step did while the database is away, before the step has to run again: about a minute."""


class Runner:
    """Runs the chains of one service, `slots` steps at a time. Any number of processes may have one.

    name   of this process, as a lease shows it
    pull   where the due steps come from
    """

    def __init__(
        self, bus: Bus, chains: Chains, *, slots: int = 8, lease: float = LEASE, sweep_every: float = 5.0
    ) -> None:
        self._bus, self._chains, self._units = bus, chains, chains.units
        self._lease = lease
        self._room = asyncio.Semaphore(slots)
        # One or two messages lie here untaken: what waits for a slot should wait where other processes see it.
        self.pull = Pull(bus, STEPS.name, f"steps-{chains.service}", batch=2)
        self._sweeper = Sweeper(bus, chains, grace=max(lease / 2, 2 * sweep_every), every=sweep_every)
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._leases: dict[UUID, Lease] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        chains.on_cancel = self._nudge

    async def start(self) -> None:
        """Begins to take due steps, and to look for those that were lost."""
        await self.pull.start()
        loop = asyncio.get_running_loop()
        self._loops = [loop.create_task(self._take()), loop.create_task(self._sweeper.run())]

    async def stop(self, grace: float = 10.0) -> None:
        """Takes nothing new, lets steps end for `grace` seconds, then gives back those that have not."""
        await self.pull.stop()
        for task in self._loops:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        for step in list(self._running):
            step.cancel()
        await asyncio.gather(*self._running, *self._loops, return_exceptions=True)

    def _nudge(self, id: UUID) -> None:
        if lease := self._leases.get(id):
            lease.nudge()

    async def _take(self) -> None:
        while True:
            await self._room.acquire()
            messages = await self.pull.take(1)
            if not messages:
                return
            task = asyncio.get_running_loop().create_task(self._one(messages[0]))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._room.release()
        if not task.cancelled() and (error := task.exception()):
            log.error("chain.runner_failed", error=repr(error), exc_info=error)

    async def _one(self, message: Msg) -> None:
        try:
            await guard(self._bus, self.pull, message, STEPS.name, lambda: self._reached(message))
        except asyncio.CancelledError:
            await self.pull.nak(message)
            raise

    async def _reached(self, message: Msg) -> None:
        try:
            await self._handle(message)
        except Exception as error:
            if away := translate(error):
                raise away from error
            raise

    async def _handle(self, message: Msg) -> None:
        """Stale and repeated messages end here, harmless. A message that makes no sense is Invalid, and buried."""
        try:
            due = msgspec.json.decode(message.data, type=StepDue)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Invalid(f"not a due step: {error}") from None
        chain = self._chains.registry.find(due.kind, due.version)
        if chain is None:
            raise Unavailable(f"version {due.version} of chain {due.kind!r} is not known here")
        lease = timedelta(seconds=self._lease)
        row = await store.claim(self._units.pool, due.chain, due.epoch, self.name, lease)
        if row is None:
            there = await store.find(self._units.pool, due.chain)
            if there is not None and there.epoch == due.epoch and there.position.status in LIVE:
                raise Unavailable(f"{there.runner} is at this step")
            log.debug("chain.stale", chain=str(due.chain), step=due.step, epoch=due.epoch)
            return
        token = trace.current.set(row.trace)
        try:
            await self._claimed(chain, row, message)
        except Superseded:
            log.warning("chain.superseded", chain=str(row.id), kind=row.kind, step=row.step_name)
        finally:
            trace.current.reset(token)

    async def _claimed(self, chain: Chain[Any], row: Row, message: Msg) -> None:
        lease = Lease(self._units, row, self._lease, lambda: self.pull.working(message))
        holding = asyncio.get_running_loop().create_task(lease.hold())
        self._leases[row.id] = lease
        try:
            what = action(chain, row.position)
            ctx = context(self._units, chain, row, what, self._chains.clock.monotonic)
            outcome: Outcome = Stopped()
            state = None
            if not row.position.cancelling:
                outcome, state = await attempt(chain, row, what, ctx, lease)
            await self._commit_patiently(chain, row, outcome, state, ctx)
        except BaseException:
            await asyncio.shield(self.release(row))
            raise
        finally:
            self._leases.pop(row.id, None)
            holding.cancel()

    async def release(self, row: Row) -> None:
        """Ends the lease of a step that has not ended, so that any process may take it."""
        try:
            await store.release(self._units.pool, row)
        except Exception as error:  # then the lease ends by itself
            log.debug("chain.not_released", chain=str(row.id), error=repr(error))

    async def _commit_patiently(
        self, chain: Chain[Any], row: Row, outcome: Outcome, state: bytes | None, ctx: StepContext
    ) -> None:
        """What an hour's step did is not thrown away because the database is away for a moment."""

        async def commit() -> None:
            await self._commit(chain, row, outcome, state, ctx)

        def log_failure(error: BaseException, tries: int) -> None:
            log.warning("chain.commit_retried", chain=str(row.id), step=row.step_name, error=repr(error), tries=tries)

        try:
            await retry(
                commit,
                on=(Unavailable,),
                backoff=Backoff(first=0.1, ceiling=5),
                attempts=COMMIT_TRIES,
                failed=log_failure,
            )
        except (Superseded, HeadraceError):
            raise
        except Exception as error:
            # The step's own change of tables, or a state that cannot be stored: as if the step had raised it.
            log.warning("chain.step_not_committed", chain=str(row.id), step=row.step_name, exc_info=error)
            kind = "the database refuses: " if isinstance(error, asyncpg.PostgresError) else ""
            broke = Failed(Fault.SYSTEM, f"{kind}{type(error).__name__}: {error}")
            await self._commit(chain, row, broke, None, ctx)

    async def _commit(
        self, chain: Chain[Any], row: Row, outcome: Outcome, state: bytes | None, ctx: StepContext
    ) -> None:
        async with self._units.begin() as unit:
            current = await store.lock_claimed(unit.connection, row)
            if ctx.unsaved:
                current = await store.save_progress(unit.connection, row, msgspec.json.encode(ctx.unsaved))
            succeeded = isinstance(outcome, Succeeded)
            if succeeded:
                for work in ctx.commits:
                    await work(unit)
                for subject, body in ctx.events:
                    unit.emit(subject, body)
                if ctx.handed_over and not current.position.cancelling:
                    await store.hide_operation(unit.connection, row.id)
            position, effects = decide(chain, current.position, outcome, self._chains.clock.now())
            moved = await store.move(
                unit.connection, chain, current, position, state, ctx.result if succeeded else None
            )
            self._chains.effects.enlist(unit, chain, moved, effects)
        log.info(
            "chain.moved",
            chain=str(row.id),
            kind=row.kind,
            step=row.step_name,
            outcome=type(outcome).__name__.lower(),
            status=moved.position.status.name.lower(),
            next=moved.step_name,
            tries=moved.position.tries,
        )
