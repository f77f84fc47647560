"""Why a chain is where it is."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from shared.chain.declare import Chain
from shared.chain.machine import LIVE, ChainStatus, Fault
from shared.chain.store import Row
from shared.contracts.states import name_of
from shared.runtime.clock import rfc3339


class ChainInfo(msgspec.Struct, frozen=True):
    """A chain as others see it. `step`: where it stands, or where it ended. Times are RFC 3339. `state`: its own data."""

    id: UUID
    kind: str
    status: str
    step: str
    tries: int
    fault: str
    error: str
    runner: str
    due_at: str | None
    created_at: str
    updated_at: str
    ended_at: str | None
    state: msgspec.Raw


class ChainExplanation(msgspec.Struct, frozen=True):
    """One `summary`, then `reasons` from the most to the least decisive."""

    chain: ChainInfo
    summary: str
    reasons: list[str]


def info(row: Row) -> ChainInfo:
    """A chain's row as others see it."""
    here = row.position
    return ChainInfo(
        row.id,
        row.kind,
        name_of(here.status),
        row.step_name,
        here.tries,
        "" if here.fault is Fault.NONE else name_of(here.fault),
        here.error,
        row.runner if row.leased else "",
        _time(here.due_at),
        rfc3339(row.created_at),
        rfc3339(row.updated_at),
        _time(row.ended_at),
        msgspec.Raw(row.state),
    )


def explain(chain: Chain[Any] | None, row: Row, now: datetime) -> ChainExplanation:
    """`chain`: its declaration, None if this service does not know it."""
    here, what = row.position, info(row)
    reasons = list(_reasons(chain, row, now)) if here.status in LIVE else []
    if here.error:
        reasons.append(f"{what.fault} error: {here.error}" if what.fault else f"its last words: {here.error}")
    if here.status is ChainStatus.RUNNING:
        where = f" ({here.step + 1} of {len(chain.steps)})" if chain else ""
        summary = f"{row.kind} is at {row.step_name}{where}"
    elif here.status is ChainStatus.UNDOING:
        failed = chain.steps[here.failed_at].name if chain else f"step {here.failed_at + 1}"
        summary = f"{row.kind} did not get past {failed} and is at {row.step_name}"
    else:
        summary = f"{row.kind} is {what.status}" + (
            "" if here.fault is Fault.NONE else f": it ended at {row.step_name}"
        )
    return ChainExplanation(what, summary, reasons)


def _reasons(chain: Chain[Any] | None, row: Row, now: datetime) -> Any:
    here = row.position
    assert here.due_at is not None
    if chain is None:
        yield f"this service does not know version {row.version} of {row.kind}"
    if here.cancelling:
        yield "it is to be cancelled as soon as its step has stopped"
    late = (now - here.due_at).total_seconds()
    if row.leased:
        yield f"the step runs at {row.runner} (lease until {_time(row.lease_until)})"
    elif late < 0:
        tries = f" after {here.tries} failed tries" if here.tries else ""
        yield f"it is due in {-late:.1f} s{tries}"
    else:
        yield f"it is due for {late:.1f} s: its message waits in STEPS for a free slot" + (
            f", and was republished {row.sweeps} times" if row.sweeps else ""
        )


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
