"""One run of one step: what came out of it. The lease is renewed beside it; when it is lost, the run is stopped."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import asyncpg
import msgspec

from shared.chain import store
from shared.chain.context import StepContext
from shared.chain.decide import Failed, Outcome, Postponed, Stopped, Succeeded
from shared.chain.declare import Action, Chain
from shared.chain.effects import emit_operation
from shared.chain.errors import Later, Superseded, UserError
from shared.chain.machine import Fault
from shared.chain.store import Row
from shared.contracts.errors import NoRoom, RateLimited, TimedOut, Unavailable, Unreadable
from shared.contracts.operations import Amount
from shared.db.pool import translate
from shared.runtime.log import log
from shared.service.unit import Units

BEATS: Final = 3
"""How often a lease is renewed before it would end."""
AWAY: Final = (Unavailable, TimedOut, RateLimited, NoRoom)
"""A server that is away, or full, is waited for, however long: that is no failure of the step, and nothing is undone for it."""
_DATABASE: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, ConnectionError)
AWAY_AGAIN: Final = 2.0
"""Seconds until a step is tried again whose server was away."""


class Lease:
    """Holds a claimed row while its step runs. `ended` is set when the run must stop; `cancelled` says why."""

    def __init__(self, units: Units, row: Row, seconds: float, working: Any) -> None:
        self._units, self._row, self._seconds, self._working = units, row, seconds, working
        self._nudged = asyncio.Event()
        self.ended = asyncio.Event()
        self.cancelled = False

    def nudge(self) -> None:
        """Looks at once whether the chain was cancelled."""
        self._nudged.set()

    async def hold(self) -> None:
        """Renews the lease until this is cancelled, or until the run must stop."""
        until = time.monotonic() + self._seconds
        while not self.ended.is_set():
            self._nudged.clear()
            try:
                async with asyncio.timeout(self._seconds / BEATS):
                    await self._nudged.wait()
            except TimeoutError:
                pass
            try:
                await self._working()
                found = await store.renew(self._units.pool, self._row, timedelta(seconds=self._seconds))
            except Exception as error:  # the database is away: others cannot take the step before it is back
                log.warning("chain.lease_not_renewed", chain=str(self._row.id), error=repr(error))
                if time.monotonic() >= until:
                    self.ended.set()
                continue
            until = time.monotonic() + self._seconds
            if found is None or found:
                self.cancelled = found is True
                self.ended.set()


def context(
    units: Units, chain: Chain[Any], row: Row, action: Action, monotonic: Callable[[], float] = time.monotonic
) -> StepContext:
    """What the run of a claimed step is given."""

    async def save(state: msgspec.Struct) -> None:
        await store.save_state(units.pool, row, msgspec.json.encode(state))

    async def report(progress: dict[str, Amount]) -> None:
        async with units.begin() as unit:
            emit_operation(unit, chain, await store.save_progress(unit.connection, row, msgspec.json.encode(progress)))

    here = row.position
    return StepContext(
        *(row.id, row.kind, action.name),
        tries=here.tries,
        fault=here.fault,
        error=here.error,
        save=save,
        report=report,
        monotonic=monotonic,
    )


async def attempt(
    chain: Chain[Any], row: Row, action: Action, ctx: StepContext, lease: Lease
) -> tuple[Outcome, bytes | None]:
    """Runs the action; the outcome and the new state. Superseded if the lease was lost."""
    work = asyncio.ensure_future(run(chain, row.state, action, ctx))
    ended = asyncio.ensure_future(lease.ended.wait())
    try:
        await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended.cancel()
        stopped = not work.done()
        if stopped:
            work.cancel()
            await asyncio.wait({work})
    if lease.ended.is_set() and stopped:
        if lease.cancelled:
            return Stopped(), None
        raise Superseded
    return work.result()


async def run(chain: Chain[Any], state: bytes, action: Action, ctx: StepContext) -> tuple[Outcome, bytes | None]:
    """Runs a step's function; the outcome and the new state. Every error that it raises is an outcome."""
    try:
        before = msgspec.json.decode(state, type=chain.state)
        async with asyncio.timeout(action.timeout) as limit:
            after = await action.run(ctx, before)
        after = before if after is None else after
        if not isinstance(after, chain.state):
            raise TypeError(f"{action.name} returned {type(after).__name__}, not {chain.state.__name__}")
        return Succeeded(), msgspec.json.encode(after)
    except Later as later:
        return Postponed(max(0.0, later.seconds), later.why), None
    except UserError as error:
        return Failed(Fault.USER, str(error)), None
    except Unreadable as error:  # waiting would not help: the storage is there
        return _failed(action, ctx, error), None
    except AWAY as error:
        return Postponed(AWAY_AGAIN, error.message), None
    except Superseded:
        raise
    except TimeoutError as error:
        if limit.expired():
            return Failed(Fault.SYSTEM, f"{action.name} took longer than {action.timeout:g} s"), None
        return _failed(action, ctx, error), None
    except Exception as error:
        if isinstance(error, _DATABASE) and (away := translate(error)):
            return Postponed(AWAY_AGAIN, away.message), None
        return _failed(action, ctx, error), None


def _failed(action: Action, ctx: StepContext, error: Exception) -> Failed:
    log.warning(
        "chain.step_failed", chain=str(ctx.chain), kind=ctx.kind, step=action.name, tries=ctx.tries, exc_info=error
    )
    return Failed(Fault.SYSTEM, f"{type(error).__name__}: {error}")
