"""Datablocks. Each change of state is one guarded UPDATE: None, or no row, if the machine does not allow it from where the datablock is."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from services.archiver.catalogue.machine import BLOCK, MACHINES, BlockState
from shared.contracts.catalogue import Damage, Datablock, DatablockReport
from shared.contracts.ids import uuid7
from shared.db.sql import Db, load
from shared.runtime.clock import rfc3339

Q = load(__file__, "datablocks.sql", MACHINES)
Row = Mapping[str, Any]


async def insert(
    db: Db,
    dataset: UUID,
    number: int,
    name: str,
    *,
    size: int,
    files: int,
    packed_size: int,
    archive_id: str,
    storage: str,
) -> UUID:
    """A planned datablock; its id. `size`: bytes of its files; `packed_size`: of the tar; `storage`: where it is to lie."""
    id = uuid7()
    await Q.insert.execute(
        db,
        id=id,
        dataset=dataset,
        number=number,
        name=name,
        size=size,
        files=files,
        packed_size=packed_size,
        archive_id=archive_id,
        storage=storage,
    )
    return id


async def delete_all(db: Db, dataset: UUID) -> None:
    """Its files lie in no datablock any more."""
    await Q.delete_all.execute(db, dataset=dataset)


async def lock(db: Db, dataset: UUID, id: UUID) -> Row | None:
    """A datablock of this dataset, locked until the transaction ends."""
    row: Row | None = await Q.lock.fetchrow(db, dataset=dataset, id=id)
    return row


async def of_dataset(db: Db, dataset: UUID) -> list[Row]:
    """All datablocks of a dataset, in order, whatever their state."""
    return await Q.of_dataset.fetch(db, dataset=dataset)


async def page(db: Db, dataset: UUID, after: int, size: int) -> list[Row]:
    """At most `size` of those that others may see, after one number (-1: from the first)."""
    return await Q.page.fetch(db, dataset=dataset, after=after, size=size)


async def damaged(db: Db, dataset: UUID, size: int) -> list[Row]:
    """The first `size` that are damaged."""
    return await Q.damaged.fetch(db, dataset=dataset, size=size)


async def counts(db: Db, dataset: UUID) -> list[Row]:
    """For each `state`: how many `datablocks` are in it, and their tars' bytes (`size`)."""
    return await Q.counts.fetch(db, dataset=dataset)


async def storages(db: Db, dataset: UUID) -> list[str]:
    """The long-term storages that hold all datablocks of a dataset, whole."""
    return [row["storage"] for row in await Q.storages.fetch(db, dataset=dataset)]


async def move(db: Db, id: UUID, verb: str) -> Row | None:
    """The datablock after a verb that changes its state alone."""
    row: Row | None = await Q.move.fetchrow(db, id=id, **_guard(verb))
    return row


async def register_all(db: Db, dataset: UUID) -> None:
    """The packed datablocks become visible to others."""
    await Q.move_all.execute(db, dataset=dataset, **_guard("register"))


async def pack(db: Db, id: UUID, chk: str, staging_key: str) -> Row | None:
    """Its tar is in staging, under this key and with this SHA-256."""
    row: Row | None = await Q.set_packed.fetchrow(db, id=id, chk=chk, staging_key=staging_key, **_guard("pack"))
    return row


async def validate(db: Db, id: UUID) -> Row | None:
    """It was read back from long-term storage, whole."""
    row: Row | None = await Q.set_whole.fetchrow(db, id=id, **_guard("validate"))
    return row


async def heal(db: Db, id: UUID) -> Row | None:
    """It was damaged, and is whole again."""
    row: Row | None = await Q.set_whole.fetchrow(db, id=id, **_guard("heal"))
    return row


async def damage(db: Db, id: UUID, report: DatablockReport) -> Row | None:
    """It was found on long-term storage other than it was written."""
    found = {"damage": report.damage, "found_size": report.found_size, "found_chk": report.found_chk}
    row: Row | None = await Q.set_damaged.fetchrow(db, id=id, **found, **_guard("damage"))
    return row


async def repack(db: Db, id: UUID, staging_key: str) -> Row | None:
    """A good tar in the place of the damaged one is in staging: its next copy."""
    row: Row | None = await Q.set_repacked.fetchrow(db, id=id, staging_key=staging_key, **_guard("repack"))
    return row


async def give_up_repair(db: Db, dataset: UUID) -> None:
    """What was to be repaired, and was not validated, is damaged as before."""
    await Q.give_up_repair.execute(db, dataset=dataset, **_guard("give up"))


def _guard(verb: str) -> dict[str, Any]:
    return {"state": int(BLOCK.target(verb)), "sources": BLOCK.sources(verb)}


def datablock_of(row: Row, pid: str) -> Datablock:
    """As others see it."""
    damage = (
        Damage(row["damage"], rfc3339(row["found_at"]), row["found_size"], row["found_chk"]) if row["damage"] else None
    )
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
        damage=damage,
    )
