"""Files as they were registered, and the original datablocks that registered them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from services.archiver.catalogue.machine import MACHINES
from shared.contracts.catalogue import OrigDatablock, StoredFile
from shared.contracts.ids import uuid7
from shared.db.sql import Db, load

Q = load(__file__, "files.sql", MACHINES)
Row = Mapping[str, Any]


class File(msgspec.Struct, frozen=True):
    """A registered file: its path in the dataset, its bytes, their SHA-256 in hex."""

    path: str
    size: int
    chk: str


async def insert(db: Db, dataset: UUID, pid: str, files: Sequence[File]) -> OrigDatablock:
    """Registers files, in an original datablock of their own."""
    id, size = uuid7(), sum(file.size for file in files)
    await Q.insert_origdatablock.execute(db, id=id, dataset=dataset, size=size, files=len(files))
    await Q.insert.execute(
        db,
        dataset=dataset,
        origdatablock=id,
        paths=[file.path for file in files],
        sizes=[file.size for file in files],
        chks=[file.chk for file in files],
    )
    return OrigDatablock(id, pid, size, len(files))


async def find_origdatablock(db: Db, id: UUID) -> Row:
    """The original datablock that a file's row names."""
    row: Row = await Q.find_origdatablock.fetchrow(db, id=id)
    return row


async def count_origdatablocks(db: Db, ids: Sequence[UUID]) -> None:
    """Counts their files anew, after some were registered in another; those that have none left are deleted."""
    await Q.count_origdatablocks.execute(db, ids=ids)


async def delete(db: Db, dataset: UUID, paths: Sequence[str]) -> None:
    """Takes files out of a dataset."""
    await Q.delete.execute(db, dataset=dataset, paths=paths)


async def crossing(db: Db, dataset: UUID, folders: Sequence[str], paths: Sequence[str]) -> str | None:
    """A registered path that is one of `folders`, or lies in one of `paths` as if that were a folder; None if there is none."""
    path: str | None = await Q.crossing.fetchval(db, dataset=dataset, folders=folders, paths=paths)
    return path


async def at(db: Db, dataset: UUID, paths: Sequence[str]) -> dict[str, Row]:
    """Those of `paths` that are registered, by path."""
    return {row["path"]: row for row in await Q.at.fetch(db, dataset=dataset, paths=paths)}


async def at_in_damaged(db: Db, dataset: UUID, paths: Sequence[str]) -> dict[str, Row]:
    """Those of `paths` that lie in damaged datablocks, by path."""
    return {row["path"]: row for row in await Q.at_in_damaged.fetch(db, dataset=dataset, paths=paths)}


async def of_dataset(db: Db, dataset: UUID) -> list[File]:
    """All files of a dataset, in the order of their paths."""
    return [File(**row) for row in await Q.of_dataset.fetch(db, dataset=dataset)]


async def of_datablock(db: Db, datablock: UUID) -> list[File]:
    """The files of a datablock, in the order of their paths."""
    return [File(**row) for row in await Q.of_datablock.fetch(db, datablock=datablock)]


async def page(db: Db, dataset: UUID, after: str, size: int) -> list[File]:
    """At most `size` files of a dataset, after one path."""
    return [File(**row) for row in await Q.page.fetch(db, dataset=dataset, after=after, size=size)]


async def stored_page(db: Db, dataset: UUID, datablock: UUID | None, after: str, size: int) -> list[StoredFile]:
    """Where files lie in datablocks: at most `size`, after one path. `datablock`: only those that it holds."""
    if datablock is None:
        rows = await Q.stored_page.fetch(db, dataset=dataset, after=after, size=size)
    else:
        rows = await Q.stored_page_of_datablock.fetch(db, dataset=dataset, datablock=datablock, after=after, size=size)
    return [StoredFile(**row) for row in rows]


async def place(db: Db, dataset: UUID, datablock: UUID, starts: Mapping[str, int]) -> None:
    """Puts files into a datablock. `starts`: path → where its first byte lies in the tar."""
    await Q.place.execute(db, dataset=dataset, datablock=datablock, paths=list(starts), starts=list(starts.values()))
