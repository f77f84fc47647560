"""The rows of chains. Leases go by the database's clock, so that processes need not agree on theirs."""

import time
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from shared.bus import trace
from shared.chain.decide import Position, name_of
from shared.chain.declare import Chain
from shared.chain.errors import Superseded
from shared.chain.machine import ChainStatus, Fault
from shared.contracts.ids import uuid7
from shared.db.sql import load

Q = load(__file__)
Connection = Any


class OperationOf(msgspec.Struct, frozen=True):
    """Whose operation a chain is, and to what: shown to `owner` as an operation of this `kind` on `target`, such as `datasets/<pid>`."""

    kind: str
    owner: str
    target: str


class Row(msgspec.Struct, frozen=True):
    """A chain. `epoch`: grows with every move; `claim`: with every run of a step; `sweeps`: how often it was found overdue.

    `leased`: somebody is at its step, namely `runner`. `state`, `progress`, `result`: JSON. `operation`: None if it is shown to nobody;
    `revision`: grows with everything that its owner can see.
    """

    id: UUID
    kind: str
    version: int
    epoch: int
    claim: int
    runner: str
    leased: bool
    lease_until: datetime | None
    sweeps: int
    step_name: str
    state: bytes
    trace: str
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    position: Position
    operation: OperationOf | None = None
    progress: bytes = b"{}"
    result: bytes | None = None
    revision: int = 1


def _row(record: Any) -> Row:
    position = Position(
        ChainStatus(record["status"]),
        record["since"],
        record["due_at"],
        record["step"],
        record["tries"],
        record["failed_at"],
        Fault(record["fault"]),
        record["error"],
        record["cancelling"],
    )
    return Row(
        record["id"],
        record["kind"],
        record["version"],
        record["epoch"],
        record["claim"],
        record["runner"],
        bool(record.get("leased")),
        record["lease_until"],
        record["sweeps"],
        record["step_name"],
        record["state"].encode(),
        record["trace"],
        record["created_at"],
        record["updated_at"],
        record["ended_at"],
        position,
        OperationOf(record["operation"], record["owner"], record["target"]) if record["operation"] else None,
        record["progress"].encode(),
        None if record["result"] is None else record["result"].encode(),
        record["revision"],
    )


def _or_none(record: Any) -> Row | None:
    return None if record is None else _row(record)


async def insert(
    db: Connection, id: UUID, chain: Chain[Any], state: bytes, at: Position, operation: OperationOf | None = None
) -> Row | None:
    """None if there is a chain of this id already."""
    shown = operation or OperationOf("", "", "")
    found = await db.fetchrow(
        Q["insert"],
        id,
        chain.name,
        chain.version,
        at.status,
        at.step,
        name_of(chain, at),
        state.decode(),
        at.since,
        at.due_at,
        trace.current.get(),
        shown.kind,
        shown.owner,
        shown.target,
    )
    return _or_none(found)


async def find(db: Connection, id: UUID) -> Row | None:
    return _or_none(await db.fetchrow(Q["find"], id))


async def lock(db: Connection, id: UUID) -> Row | None:
    """The chain, locked to the end of the transaction."""
    return _or_none(await db.fetchrow(Q["lock"], id))


async def page(db: Connection, kind: str, live: bool, before: UUID | None, size: int) -> list[Row]:
    """Newest first."""
    return [_row(record) for record in await db.fetch(Q["list"], kind, live, before, size)]


async def claim(db: Connection, id: UUID, epoch: int, runner: str, lease: timedelta) -> Row | None:
    """Takes the step of this epoch; None if it is not due any more, or somebody is at it."""
    return _or_none(await db.fetchrow(Q["claim"], id, epoch, runner, lease))


async def renew(db: Connection, row: Row, lease: timedelta) -> bool | None:
    """Whether the chain is to be cancelled; None if the lease is lost."""
    found = await db.fetchrow(Q["renew"], row.id, row.epoch, row.claim, lease)
    return None if found is None else bool(found["cancelling"])


async def release(db: Connection, row: Row) -> None:
    """Gives a claimed step back, undone."""
    await db.execute(Q["release"], row.id, row.epoch, row.claim)


async def save_state(db: Connection, row: Row, state: bytes) -> None:
    if await db.fetchrow(Q["save_state"], row.id, row.epoch, row.claim, state.decode()) is None:
        raise Superseded


async def save_progress(db: Connection, row: Row, progress: bytes) -> Row:
    """The chain with these amounts; Superseded if the claim does not hold any more."""
    found = await db.fetchrow(Q["save_progress"], row.id, row.epoch, row.claim, progress.decode())
    if found is None:
        raise Superseded
    return _row(found)


async def hide_operation(db: Connection, id: UUID) -> None:
    """The chain is nobody's operation any more: another service shows it from now on, under the same id."""
    await db.execute(Q["hide_operation"], id)


async def operations(
    db: Connection, owner: str | None, kind: str, target: str, active: bool, before: UUID | None, size: int
) -> list[Row]:
    """Chains that are operations, newest first: of one owner (None: of all), kind and target (empty: of any)."""
    return [_row(record) for record in await db.fetch(Q["operations"], owner, kind, target, active, before, size)]


async def lock_claimed(db: Connection, row: Row) -> Row:
    """The row as it is now, locked, if the claim still holds."""
    found = await db.fetchrow(Q["lock_claimed"], row.id, row.epoch, row.claim)
    if found is None:
        raise Superseded
    return _row(found)


async def move(
    db: Connection,
    chain: Chain[Any],
    row: Row,
    to: Position,
    state: bytes | None = None,
    result: bytes | None = None,
) -> Row:
    """Where the chain stands from now on; `state`, `result`: None if they stay as they are. The row must be locked."""
    found = await db.fetchrow(
        Q["move"],
        row.id,
        to.status,
        to.step,
        name_of(chain, to),
        to.tries,
        to.failed_at,
        to.fault,
        to.error.replace("\x00", ""),
        to.cancelling,
        to.since,
        to.due_at,
        None if state is None else state.decode(),
        None if result is None else result.decode(),
    )
    return _row(found)


async def ask_cancel(db: Connection, id: UUID) -> Row:
    """For whoever is at the step to see."""
    return _row(await db.fetchrow(Q["ask_cancel"], id))


async def overdue(db: Connection, grace: timedelta, *, all: bool, most: int) -> list[Row]:
    """Chains whose step should have begun `grace` ago. `all`: also those that were found not long ago."""
    return [_row(record) for record in await db.fetch(Q["overdue"], grace, all, most)]


async def forget(db: Connection, after: timedelta) -> str:
    """Removes chains that ended long ago."""
    before = int((time.time() - after.total_seconds()) * 1000)
    return str(await db.execute(Q["forget"], uuid7(before), after))
