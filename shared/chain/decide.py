"""What happens next in a chain: (chain, where it stands, what came out, now) → (where it stands then, effects). No I/O."""

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from shared.chain.declare import RETRY_BACKOFF, Action, Chain, Step
from shared.chain.machine import LIVE, MACHINE, ChainStatus, Fault

LONGEST_ERROR: Final = 2000


class Position(msgspec.Struct, frozen=True):
    """Where a chain stands.

    step       running: number of the step; undoing: number in the plan of what follows `failed_at`
    tries      how often it has failed there
    error      why it failed; while it runs, why its last try failed, or what it waits for
    since      when it was first due there
    due_at     when it is due next; None when the chain has ended
    cancelling somebody wants it cancelled, and a step is running that must be stopped first
    """

    status: ChainStatus
    since: datetime
    due_at: datetime | None
    step: int = 0
    tries: int = 0
    failed_at: int = -1
    fault: Fault = Fault.NONE
    error: str = ""
    cancelling: bool = False


class Succeeded(msgspec.Struct, frozen=True):
    """The step returned."""


class Postponed(msgspec.Struct, frozen=True):
    """The step has nothing to do before `seconds` have passed. `why`: what it waits for."""

    seconds: float
    why: str = ""


class Failed(msgspec.Struct, frozen=True):
    """The step raised."""

    fault: Fault
    error: str


class Stopped(msgspec.Struct, frozen=True):
    """The step was stopped, or not begun, because the chain is cancelled."""


Outcome = Succeeded | Postponed | Failed | Stopped


class Due(msgspec.Struct, frozen=True):
    """Put the step on the bus: at once, or as a schedule for `at`."""

    at: datetime


class Emit(msgspec.Struct, frozen=True):
    """Publish `hr.evt.chain.<event>`."""

    event: str


Effect = Due | Emit


def begin(at: datetime) -> tuple[Position, list[Effect]]:
    """A new chain, due at `at`."""
    return Position(ChainStatus.RUNNING, at, at), [Emit("started"), Due(at)]


def action(chain: Chain[Any], here: Position) -> Action:
    """What is to be done where the chain stands."""
    if here.status is ChainStatus.UNDOING:
        return chain.plan(here.failed_at, here.fault)[here.step]
    one = chain.steps[here.step]
    return Action(one.name, one.run, one.timeout)


def name_of(chain: Chain[Any], here: Position) -> str:
    """Where the chain stands, or ended, in words."""
    if here.status in LIVE:
        return action(chain, here).name
    return chain.steps[here.failed_at if here.failed_at >= 0 else here.step].name


def decide(chain: Chain[Any], here: Position, outcome: Outcome, now: datetime) -> tuple[Position, list[Effect]]:
    """A chain that has ended stays as it is."""
    if here.status is ChainStatus.RUNNING:
        return _running(chain, here, outcome, now)
    if here.status is ChainStatus.UNDOING:
        return _undoing(chain, here, outcome, now)
    return here, []


def _running(chain: Chain[Any], here: Position, outcome: Outcome, now: datetime) -> tuple[Position, list[Effect]]:
    if here.cancelling or isinstance(outcome, Stopped):
        return _fail(chain, here, Fault.CANCELLED, "cancelled", now)
    one = chain.steps[here.step]
    match outcome:
        case Succeeded():
            if here.step + 1 < len(chain.steps):
                return _at(here, here.step + 1, now)
            status = MACHINE.check("finish", here.status)
            return _replace(here, status=status, due_at=None, error=""), [Emit("done")]
        case Postponed(seconds, why):
            if (at := _next(one, here, now, seconds)) is None:
                return _fail(chain, here, Fault.SYSTEM, f"{one.name}: gave up waiting{why and ' for '}{why}", now)
            return _replace(here, due_at=at, error=why[:LONGEST_ERROR]), [Due(at)]
        case Failed(fault, error):
            tries = here.tries + 1
            if fault is Fault.USER or (one.tries is not None and tries >= one.tries):
                return _fail(chain, here, fault, error, now)
            if (at := _next(one, here, now, one.backoff.delay(here.tries))) is None:
                return _fail(chain, here, fault, error, now)
            return _replace(here, tries=tries, due_at=at, error=error[:LONGEST_ERROR]), [Due(at)]


def _next(one: Step, here: Position, now: datetime, seconds: float) -> datetime | None:
    """When the step is due again. The last time is when its patience ends; None: it has ended."""
    at = now + timedelta(seconds=seconds)
    if one.give_up_after is None:
        return at
    end = here.since + timedelta(seconds=one.give_up_after)
    return None if now >= end else min(at, end)


def _fail(chain: Chain[Any], here: Position, fault: Fault, error: str, now: datetime) -> tuple[Position, list[Effect]]:
    failed = _replace(here, fault=fault, error=error[:LONGEST_ERROR], failed_at=here.step, cancelling=False)
    if not chain.plan(failed.failed_at, fault):
        return _end(failed)
    return _at(_replace(failed, status=MACHINE.check("undo", here.status)), 0, now)


def _undoing(chain: Chain[Any], here: Position, outcome: Outcome, now: datetime) -> tuple[Position, list[Effect]]:
    match outcome:
        case Postponed(seconds):
            at = now + timedelta(seconds=seconds)
            return _replace(here, due_at=at), [Due(at)]
        case Failed(Fault.SYSTEM):
            at = now + timedelta(seconds=RETRY_BACKOFF.delay(here.tries))
            return _replace(here, tries=here.tries + 1, due_at=at), [Due(at)]
        case Failed(_, error):
            note = f"{here.error}; {action(chain, here).name}: {error}"
            here = _replace(here, error=note[:LONGEST_ERROR])
        case _:
            pass
    if here.step + 1 < len(chain.plan(here.failed_at, here.fault)):
        return _at(here, here.step + 1, now)
    return _end(here)


def _end(here: Position) -> tuple[Position, list[Effect]]:
    verb = "cancel" if here.fault is Fault.CANCELLED else "fail"
    return _replace(here, status=MACHINE.check(verb, here.status), due_at=None), [Emit("failed")]


def _at(here: Position, number: int, now: datetime) -> tuple[Position, list[Effect]]:
    error = here.error if here.fault else ""
    return _replace(here, step=number, tries=0, since=now, due_at=now, error=error), [Due(now)]


def _replace(here: Position, **changes: Any) -> Position:
    return msgspec.structs.replace(here, **changes)
