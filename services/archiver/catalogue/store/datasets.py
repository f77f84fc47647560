"""Datasets."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from services.archiver.catalogue.machine import MACHINES, ArchiveState, RetrieveState, wire
from shared.contracts.catalogue import Dataset, DatasetCreate, DatasetList, Lifecycle
from shared.contracts.errors import NotFound
from shared.contracts.events import DatasetChanged
from shared.contracts.ids import uuid7
from shared.db.sql import Db, load
from shared.runtime.clock import rfc3339
from shared.service.access import owned
from shared.service.context import Context

Q = load(__file__, "datasets.sql", MACHINES)
Row = Mapping[str, Any]


async def insert(db: Db, owner: str, asked: DatasetCreate) -> Row | None:
    """A new dataset; None if there is one of this pid already."""
    row: Row | None = await Q.insert.fetchrow(
        db,
        id=uuid7(),
        pid=asked.pid,
        owner=owner,
        owner_group=asked.owner_group,
        source_folder=asked.source_folder,
        dataset_name=asked.dataset_name,
        contact_email=asked.contact_email,
        description=asked.description,
    )
    return row


async def find(db: Db, pid: str) -> Row | None:
    """Whoever's it is; None if there is none."""
    row: Row | None = await Q.find.fetchrow(db, pid=pid)
    return row


async def lock(db: Db, pid: str) -> Row | None:
    """As `find`; nobody else changes it until the transaction ends."""
    row: Row | None = await Q.lock.fetchrow(db, pid=pid)
    return row


async def lock_id(db: Db, id: UUID) -> Row | None:
    """As `lock`, by its id."""
    row: Row | None = await Q.lock_id.fetchrow(db, id=id)
    return row


async def find_owned(db: Db, ctx: Context, pid: str) -> Row:
    """NotFound if there is none that the asker may see."""
    return owned(ctx, await find(db, pid), no_dataset(pid))


async def lock_owned(db: Db, ctx: Context, pid: str) -> Row:
    """As `find_owned`; nobody else changes it until the transaction ends."""
    return owned(ctx, await lock(db, pid), no_dataset(pid))


def no_dataset(pid: str) -> NotFound:
    """The answer to who asks for a dataset that there is not, or that is not theirs."""
    return NotFound(f"there is no dataset {pid!r}", field="pid")


async def page(db: Db, asked: DatasetList, owner: str | None, before: UUID | None, size: int) -> list[Row]:
    """Newest first: those of one owner (None: of all) that fit what is `asked`, before one id."""
    return await Q.page.fetch(
        db,
        owner=owner,
        before=before,
        size=size,
        search=asked.search,
        state=next((state for state in ArchiveState if wire(state) == asked.status), None),
        owner_group=asked.group,
        damaged=asked.damaged,
    )


async def set_lifecycle(
    db: Db,
    id: UUID,
    *,
    archivable: bool | None = None,
    retrievable: bool | None = None,
    on_disk: bool | None = None,
    archive_state: ArchiveState | None = None,
    retrieve_state: RetrieveState | None = None,
) -> Row:
    """The dataset with what is given; None stays. The caller has locked it, and checked that the machine allows it."""
    row: Row = await Q.set_lifecycle.fetchrow(
        db,
        id=id,
        archivable=archivable,
        retrievable=retrievable,
        on_disk=on_disk,
        archive_state=archive_state,
        retrieve_state=retrieve_state,
    )
    return row


async def set_chain(db: Db, id: UUID, chain: UUID) -> Row:
    """The chain that works on it from now on. An upload that was finished again is part of its work."""
    row: Row = await Q.set_chain.fetchrow(db, id=id, chain=chain)
    return row


async def set_finish_again(db: Db, id: UUID) -> None:
    """Its upload was finished while the chain of an earlier finish still works: if that fails, it runs again."""
    await Q.set_finish_again.execute(db, id=id)


async def keep_addresses(db: Db, id: UUID, until: datetime) -> None:
    """What is uploaded to it stays at least until the addresses that were handed out expire."""
    await Q.keep_addresses.execute(db, id=id, until=until)


async def count_files(db: Db, id: UUID) -> Row:
    """The dataset with its registered files counted anew."""
    row: Row = await Q.count_files.fetchrow(db, id=id)
    return row


async def count_datablocks(db: Db, id: UUID) -> Row | None:
    """The dataset with its datablocks counted anew; None if it was abandoned."""
    row: Row | None = await Q.count_datablocks.fetchrow(db, id=id)
    return row


async def count_damaged(db: Db, id: UUID) -> Row:
    """The dataset with its damaged datablocks counted anew."""
    row: Row = await Q.count_damaged.fetchrow(db, id=id)
    return row


def dataset_of(row: Row) -> Dataset:
    """As others see it."""
    lifecycle = Lifecycle(
        row["archivable"],
        row["retrievable"],
        row["on_disk"],
        wire(ArchiveState(row["archive_state"])),  # type: ignore[arg-type]
        wire(RetrieveState(row["retrieve_state"])),  # type: ignore[arg-type]
        {"message": damage_message(row)} if row["damaged"] else {},
    )
    return Dataset(
        row["id"],
        row["pid"],
        row["owner"],
        row["owner_group"],
        row["source_folder"],
        row["dataset_name"],
        row["contact_email"],
        row["description"],
        row["size"],
        row["files"],
        row["packed_size"],
        row["datablocks"],
        lifecycle,
        rfc3339(row["created_at"]),
        rfc3339(row["updated_at"]),
        row["version"],
        row["damaged"],
    )


def damage_message(row: Row) -> str:
    """What is wrong with a damaged dataset."""
    return f"{row['damaged']} of {row['datablocks']} datablocks are damaged on long-term storage"


def changed(row: Row) -> DatasetChanged:
    """The event of a dataset as it is now."""
    return DatasetChanged(
        row["id"],
        row["pid"],
        wire(ArchiveState(row["archive_state"])),
        wire(RetrieveState(row["retrieve_state"])),
        row["version"],
    )
