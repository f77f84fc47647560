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

Q = load(__file__, "store.sql")
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


def _claimed(row: Row) -> dict[str, Any]:
    """Which run of which step: what a statement that only the holder of a step may make is guarded by."""
    return {"id": row.id, "epoch": row.epoch, "claim": row.claim}


async def insert(
    db: Connection, id: UUID, chain: Chain[Any], state: bytes, at: Position, operation: OperationOf | None = None
) -> Row | None:
    """None if there is a chain of this id already."""
    shown = operation or OperationOf("", "", "")
    found = await Q.insert.fetchrow(
        db,
        id=id,
        kind=chain.name,
        version=chain.version,
        status=at.status,
        step=at.step,
        step_name=name_of(chain, at),
        state=state.decode(),
        since=at.since,
        due_at=at.due_at,
        trace=trace.current.get(),
        operation=shown.kind,
        owner=shown.owner,
        target=shown.target,
    )
    return _or_none(found)


async def find(db: Connection, id: UUID) -> Row | None:
    """None if there is none."""
    return _or_none(await Q.find.fetchrow(db, id=id))


async def lock(db: Connection, id: UUID) -> Row | None:
    """The chain, locked to the end of the transaction."""
    return _or_none(await Q.lock.fetchrow(db, id=id))


async def page(db: Connection, kind: str, live: bool, before: UUID | None, size: int) -> list[Row]:
    """Newest first."""
    return [_row(record) for record in await Q.list.fetch(db, kind=kind, live=live, before=before, size=size)]


async def claim(db: Connection, id: UUID, epoch: int, runner: str, lease: timedelta) -> Row | None:
    """Takes the step of this epoch; None if it is not due any more, or somebody is at it."""
    return _or_none(await Q.claim.fetchrow(db, id=id, epoch=epoch, runner=runner, lease=lease))


async def renew(db: Connection, row: Row, lease: timedelta) -> bool | None:
    """Whether the chain is to be cancelled; None if the lease is lost."""
    found = await Q.renew.fetchrow(db, lease=lease, **_claimed(row))
    return None if found is None else bool(found["cancelling"])


async def release(db: Connection, row: Row) -> None:
    """Gives a claimed step back, undone."""
    await Q.release.execute(db, **_claimed(row))


async def save_state(db: Connection, row: Row, state: bytes) -> None:
    """The chain's state while its step runs; Superseded if the claim does not hold any more."""
    if await Q.save_state.fetchrow(db, state=state.decode(), **_claimed(row)) is None:
        raise Superseded


async def save_progress(db: Connection, row: Row, progress: bytes) -> Row:
    """The chain with these amounts; Superseded if the claim does not hold any more."""
    found = await Q.save_progress.fetchrow(db, progress=progress.decode(), **_claimed(row))
    if found is None:
        raise Superseded
    return _row(found)


async def hide_operation(db: Connection, id: UUID) -> None:
    """The chain is nobody's operation any more: another service shows it from now on, under the same id."""
    await Q.hide_operation.execute(db, id=id)


async def operations(
    db: Connection,
    owner: str | None,
    kind: str,
    target: str,
    active: bool,
    before: tuple[datetime, UUID] | None,
    size: int,
) -> list[Row]:
    """Chains that are operations, newest first: of one owner (None: of all), kind and target (empty: of any).

    `before`: when the last one of the page before was made, and its id. Ids alone do not say: some are chosen by users.
    """
    at, id = before or (None, None)
    return [
        _row(record)
        for record in await Q.operations.fetch(
            db, owner=owner, kind=kind, target=target, active=active, before=at, before_id=id, size=size
        )
    ]


async def lock_claimed(db: Connection, row: Row) -> Row:
    """The row as it is now, locked, if the claim still holds."""
    found = await Q.lock_claimed.fetchrow(db, **_claimed(row))
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
    found = await Q.move.fetchrow(
        db,
        id=row.id,
        status=to.status,
        step=to.step,
        step_name=name_of(chain, to),
        tries=to.tries,
        failed_at=to.failed_at,
        fault=to.fault,
        error=to.error.replace("\x00", ""),
        cancelling=to.cancelling,
        since=to.since,
        due_at=to.due_at,
        state=None if state is None else state.decode(),
        result=None if result is None else result.decode(),
    )
    return _row(found)


async def ask_cancel(db: Connection, id: UUID) -> Row:
    """For whoever is at the step to see."""
    return _row(await Q.ask_cancel.fetchrow(db, id=id))


async def overdue(db: Connection, grace: timedelta, *, all: bool, most: int) -> list[Row]:
    """Chains whose step should have begun `grace` ago. `all`: also those that were found not long ago."""
    return [_row(record) for record in await Q.overdue.fetch(db, grace=grace, all=all, most=most)]


async def forget(db: Connection, after: timedelta) -> str:
    """Removes chains that ended long ago."""
    before = int((time.time() - after.total_seconds()) * 1000)
    return await Q.forget.execute(db, before=uuid7(before), age=after)
