"""The rows of retrievals: read, changed, and made contracts of; and where retrieval storage keeps a datablock."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.contracts.catalogue import DamageKind, Datablock, StoredFile
from shared.contracts.events import RetrievalChanged
from shared.contracts.retrieval import Retrieval, RetrievalCreate
from shared.db.sql import load
from shared.runtime.clock import rfc3339

Q = load(__file__, "store.sql")
Row = Mapping[str, Any]
Db = Any
"""asyncpg's pool or connection."""


ROOM = "retrieval/"
"""The prefix of retrieval storage."""


def retrieval_key(archive_id: str) -> str:
    """The key of a datablock in retrieval storage: the same for every retrieval of the dataset, so that it is brought once."""
    return f"{ROOM}{archive_id}"


def archive_id(retrieval_key: str) -> str:
    """The archive id of the datablock that has this key in retrieval storage."""
    return retrieval_key.removeprefix(ROOM)


async def insert(db: Db, id: UUID, owner: str, asked: RetrievalCreate) -> Row | None:
    """A new retrieval with the results that are requested of it; None if there is one of this id already."""
    row: Row | None = await Q.insert.fetchrow(
        db, id=id, pid=asked.pid, owner=owner, job=asked.job, session=asked.session, requested=len(asked.results)
    )
    if row is not None:
        paths, results = [one.path for one in asked.results], [one.result for one in asked.results]
        await Q.insert_files.execute(db, retrieval=id, paths=paths, results=results)
    return row


async def find(db: Db, id: UUID) -> Row | None:
    """A retrieval with its datablocks and results counted; None if there is none."""
    row: Row | None = await Q.find.fetchrow(db, id=id)
    return row


async def keep_addresses(db: Db, id: UUID, until: datetime) -> bool:
    """Nothing of it is evicted before the addresses of now expire; False if it was evicted already."""
    return await Q.keep_addresses.fetchrow(db, id=id, until=until) is not None


async def add_datablocks(db: Db, id: UUID, found: Iterable[Datablock], files: Iterable[StoredFile]) -> None:
    """What the catalogue knows: the datablocks to bring back, and where the requested files lie in them. Waits for an eviction."""
    await Q.hold_evictions.execute(db)
    rows = [
        {
            "retrieval": id,
            "datablock": block.id,
            "archive_id": block.archive_id,
            "packed_size": block.packed_size,
            "chk": block.chk,
            "copy": block.copy,
            "suspect": block.damage is not None,
            "storage": block.storage,
        }
        for block in found
    ]
    await Q.insert_datablock.executemany(db, rows)
    places = [
        {
            "retrieval": id,
            "path": file.path,
            "datablock": file.datablock,
            "start": file.start,
            "size": file.size,
            "chk": file.chk,
        }
        for file in files
    ]
    await Q.place_file.executemany(db, places)


async def datablocks(db: Db, id: UUID) -> list[Row]:
    """The datablocks of a retrieval, in the order of their archive ids."""
    return await Q.datablocks.fetch(db, retrieval=id)


async def datablocks_page(db: Db, id: UUID, after: str, size: int) -> list[Row]:
    """As `datablocks`: at most `size` of them, after one archive id."""
    return await Q.datablocks_page.fetch(db, retrieval=id, after=after, size=size)


async def damaged_datablocks(db: Db, id: UUID) -> list[Row]:
    """Those that are damaged on long-term storage."""
    return await Q.damaged_datablocks.fetch(db, retrieval=id)


async def set_retrieved(db: Db, id: UUID, datablock: UUID) -> None:
    """The datablock is in retrieval storage, validated."""
    await Q.set_retrieved.execute(db, retrieval=id, datablock=datablock)


async def set_damage(db: Db, id: UUID, datablock: UUID, damage: DamageKind) -> None:
    """The datablock is damaged on long-term storage."""
    await Q.set_damage.execute(db, retrieval=id, datablock=datablock, damage=damage)


async def set_copy(db: Db, id: UUID, datablock: UUID, copy: int, suspect: bool) -> None:
    """Which copy of the datablock is to be read; `suspect`: the catalogue has it as damaged."""
    await Q.set_copy.execute(db, retrieval=id, datablock=datablock, copy=copy, suspect=suspect)


async def requested_files(db: Db, id: UUID) -> list[Row]:
    """The files that are requested, each for a result."""
    return await Q.requested_files.fetch(db, retrieval=id)


async def set_produced(db: Db, id: UUID, result: UUID) -> None:
    """The result has its value."""
    await Q.set_produced.execute(db, retrieval=id, result=result)


async def producible(db: Db, id: UUID) -> list[Row]:
    """The requested files whose results have no value yet and whose datablocks are not damaged, with the archive id of each."""
    return await Q.producible.fetch(db, retrieval=id)


async def results_in_damaged(db: Db, id: UUID) -> list[UUID]:
    """The results that get no value, since their datablocks are damaged."""
    return [row["result"] for row in await Q.results_in_damaged.fetch(db, retrieval=id)]


async def results_not_produced(db: Db, id: UUID) -> list[UUID]:
    """The results that have no value yet."""
    return [row["result"] for row in await Q.results_not_produced.fetch(db, retrieval=id)]


def retrieval_of(row: Row, status: str, step: str, error: str = "") -> Retrieval:
    """`status`, `step`, `error`: of the retrieval's chain."""
    return Retrieval(
        row["id"],
        row["pid"],
        row["owner"],
        status_of(row, status),
        step,
        error or _damage(row),
        row["datablocks"],
        row["retrieved"],
        row["requested"],
        row["produced"],
        rfc3339(row["created_at"]),
        row["size"],
        row["damaged"],
    )


def _damage(row: Row) -> str:
    return (
        f"{row['damaged']} of {row['datablocks']} datablocks are damaged on long-term storage" if row["damaged"] else ""
    )


def status_of(row: Row, status: str) -> str:
    """`partial` where a chain is done, and not everything came back."""
    return "partial" if status == "done" and row["damaged"] else status


async def changed(db: Db, retrieval: UUID, status: str) -> RetrievalChanged:
    """The event of a retrieval whose chain has this status."""
    row = await find(db, retrieval)
    assert row is not None
    return retrieval_changed(row, status)


def retrieval_changed(row: Row, status: str) -> RetrievalChanged:
    """The event of a retrieval as its row is; `status`: of its chain."""
    return RetrievalChanged(row["id"], row["pid"], status_of(row, status), row["produced"], row["requested"])
