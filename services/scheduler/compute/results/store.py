"""Results in the database (store.sql): rows in, contracts out."""

import hashlib
from collections.abc import Collection, Sequence
from uuid import UUID

from services.scheduler.machine import MACHINES, RESULT
from services.scheduler.spans import task_span
from shared.contracts.compute import NewResult, Result
from shared.contracts.errors import NotFound
from shared.contracts.states import ResultStatus, name_of
from shared.db.sql import Db, Row, load
from shared.objects.port import Stored
from shared.runtime.clock import rfc3339, rfc3339_or_none

Q = load(__file__, "store.sql", MACHINES)


async def add(
    db: Db, session: UUID, ids: Sequence[UUID], results: Sequence[NewResult], checksums: Sequence[bytes | None]
) -> None:
    """Results that no task produces, with or without a value. Those that exist stay as they are."""
    await Q.add.execute(
        db,
        session=session,
        ids=list(ids),
        names=[new.name for new in results],
        complete=[new.data is not None or new.object is not None for new in results],
        sizes=[len(new.data) if new.data is not None else new.size for new in results],
        data=[new.data for new in results],
        objects=[new.object for new in results],
        checksums=list(checksums),
    )


async def get(db: Db, result: UUID) -> Row:
    """A result's row; NotFound if there is none."""
    rows = await Q.find.fetch(db, results=[result])
    if not rows:
        raise NotFound(f"there is no result {result}", field="result")
    return rows[0]


async def find(db: Db, results: Collection[UUID]) -> dict[UUID, Row]:
    """Those of these results that exist, by id, in the order of ids."""
    return {row["id"]: row for row in await Q.find.fetch(db, results=list(results))}


async def lock(db: Db, results: Collection[UUID]) -> dict[UUID, Row]:
    """As `find`; nobody else changes them before this transaction ends."""
    return {row["id"]: row for row in await Q.lock.fetch(db, results=list(results))}


async def complete(
    db: Db, result: UUID, *, size: int, data: bytes | None, object: str | None, checksum: bytes | None
) -> Row | None:
    """Gives a value to a result that no task produces; None if it has one, or cannot have any. `checksum`: SHA-256."""
    row: Row | None = await Q.complete.fetchrow(
        db, result=result, size=size, data=data, object=object, checksum=checksum
    )
    return row


async def complete_imported(db: Db, results: Sequence[UUID], objects: Sequence[Stored]) -> list[UUID]:
    """Makes objects that stay their owners' the values of results. Returns the results that had none."""
    rows = await Q.complete_imported.fetch(
        db,
        results=list(results),
        objects=[stored.key for stored in objects],
        sizes=[stored.size for stored in objects],
        checksums=[bytes.fromhex(stored.sha256) or None for stored in objects],
    )
    return [row["id"] for row in rows]


async def abort(db: Db, session: UUID, results: Collection[UUID]) -> list[UUID]:
    """Those of these results that no task produces and that have no value will never have one. Returns them."""
    return [row["id"] for row in await Q.abort.fetch(db, results=list(results), session=session)]


async def delete(db: Db, results: Collection[UUID]) -> list[UUID]:
    """These have no value any more. Returns those that were not deleted before."""
    return [row["id"] for row in await Q.delete.fetch(db, results=list(results), sources=RESULT.sources("delete"))]


async def needed_by(db: Db, submission: UUID, results: Collection[UUID]) -> Row | None:
    """A task of a submission that has not ended, and which of these results it needs (task, result); or None."""
    first, last = task_span(submission)
    row: Row | None = await Q.needed_by.fetchrow(db, first=first, last=last, results=list(results))
    return row


def checksum_of(row: Row) -> str:
    """The SHA-256 of a value in hex. Of an inline one it is made when somebody looks: it lies beside it anyway."""
    if row["checksum"] is None and row["data"] is not None:
        return hashlib.sha256(row["data"]).hexdigest()
    return "" if row["checksum"] is None else bytes(row["checksum"]).hex()


def result_of(row: Row) -> Result:
    """The contract of a row."""
    done = row["status"] == ResultStatus.COMPLETED
    opaque = (row["object"] or f"inline:{row['id']}") if done else ""
    return Result(
        row["id"],
        row["session"],
        row["name"],
        name_of(ResultStatus(row["status"])),
        row["owner"],
        opaque,
        row["size"],
        rfc3339(row["created_at"]),
        rfc3339_or_none(row["completed_at"]),
        checksum_of(row),
        row["owned"],
    )
