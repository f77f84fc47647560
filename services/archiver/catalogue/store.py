"""Rows in, contracts out."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from services.archiver.archive.packing import File
from services.archiver.catalogue.machine import ArchiveState, BlockState, JobState, RetrieveState, wire
from shared.contracts.catalogue import Damage, Datablock, Dataset, Job, Lifecycle
from shared.contracts.errors import NotFound, Unavailable
from shared.contracts.events import DatasetChanged, JobChanged
from shared.contracts.operations import Amount
from shared.db.sql import load
from shared.runtime.clock import rfc3339
from shared.service.access import owned
from shared.service.context import Context

Q = load(__file__)
Row = Mapping[str, Any]
Db = Any
"""asyncpg's pool or connection."""


def dataset_of(row: Row) -> Dataset:
    lifecycle = Lifecycle(
        row["archivable"],
        row["retrievable"],
        row["on_disk"],
        wire(ArchiveState(row["archive_state"])),  # type: ignore[arg-type]
        wire(RetrieveState(row["retrieve_state"])),  # type: ignore[arg-type]
        {"message": damage_of(row)} if row["damaged"] else {},
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
        row["blocks"],
        lifecycle,
        rfc3339(row["created_at"]),
        rfc3339(row["updated_at"]),
        row["version"],
        row["damaged"],
    )


def damage_of(row: Row) -> str:
    """What is wrong with a damaged dataset."""
    return f"{row['damaged']} of {row['blocks']} datablocks are damaged on long-term storage"


def changed(row: Row) -> DatasetChanged:
    seen = dataset_of(row)
    return DatasetChanged(
        seen.id,
        seen.pid,
        seen.datasetlifecycle.archive_status_message,
        seen.datasetlifecycle.retrieve_status_message,
        seen.version,
    )


def job_of(row: Row, pid: str) -> Job:
    return Job(
        row["id"],
        row["type"],
        pid,
        row["owner"],
        wire(JobState(row["state"])),  # type: ignore[arg-type]
        row["message"],
        rfc3339(row["created_at"]),
        rfc3339(row["updated_at"]),
        row["version"],
    )


def job_changed(row: Row) -> JobChanged:
    return JobChanged(row["id"], row["type"], wire(JobState(row["state"])), row["message"], row["version"])


def block_of(row: Row, pid: str) -> Datablock:
    return Datablock(
        row["id"],
        pid,
        row["archive_id"],
        row["size"],
        row["packed_size"],
        row["chk"],
        row["storage"],
        row["files"],
        status=BlockState(row["state"]).name.lower(),  # type: ignore[arg-type]
        copy=row["copy"],
        damage=Damage(row["damage"], rfc3339(row["found_at"]), row["found_size"], row["found_chk"])
        if row["damage"]
        else None,
    )


async def dataset(db: Db, ctx: Context, pid: str, query: str = "dataset") -> Row:
    """NotFound if there is none that the asker may see."""
    return owned(ctx, await db.fetchrow(Q[query], pid), no_dataset(pid))


def check_storage(archive: str, storage: str, here: str) -> None:
    """Unavailable if what is archived as `archive` is on another storage than the one called `here`."""
    if storage not in ("", here):
        raise Unavailable(f"{archive} is on storage {storage!r}; the archiver writes to {here!r}")


def no_dataset(pid: str) -> NotFound:
    return NotFound(f"there is no dataset {pid!r}", field="pid")


async def job(db: Db, ctx: Context, job: UUID) -> Row:
    """NotFound if there is none that the asker may see."""
    return owned(ctx, await db.fetchrow(Q["job"], job), NotFound(f"there is no job {job}", field="job"))


async def progress(db: Db, dataset: UUID, states: Collection[BlockState]) -> tuple[Amount, Amount]:
    """How many of a dataset's datablocks are in one of `states`, and how many bytes these tars have."""
    rows = await db.fetch(Q["block_counts"], dataset)
    done = [row for row in rows if row["state"] in states]
    return _amount("blocks", done, rows), _amount("size", done, rows)


def _amount(column: str, done: Iterable[Row], all: Iterable[Row]) -> Amount:
    return Amount(sum(row[column] for row in done), sum(row[column] for row in all))


async def files(db: Db, query: str, id: UUID) -> list[File]:
    """`files`: of a dataset; `files_of`: of a datablock; in the order of their paths."""
    return [File(row["path"], row["size"], row["chk"]) for row in await db.fetch(Q[query], id)]
