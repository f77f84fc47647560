"""Datablocks: what they are, what is in them, where they lie; and why a dataset is where it is."""

from typing import Annotated

import msgspec

from services.archiver.catalogue import damage
from services.archiver.catalogue.explain import explain
from services.archiver.catalogue.store import datablocks, datasets, files
from services.archiver.catalogue.store.datasets import Row
from shared.chain.chains import Chains
from shared.contracts import subjects
from shared.contracts.catalogue import (
    Datablock,
    DatablockPage,
    DatablockQuery,
    DatablockReport,
    DatasetRef,
    DatasetState,
    FilePage,
    FileQuery,
    Located,
)
from shared.contracts.endpoints.catalogue import (
    DATABLOCK_FILES,
    DATABLOCK_LIST,
    DATABLOCK_REPORT,
    DATASET_EXPLAIN,
    DATASET_LOCATE,
)
from shared.contracts.errors import NotFound
from shared.db.sql import Db
from shared.runtime.log import log
from shared.service.context import Context
from shared.service.paging import fitting, place_of, token_of
from shared.service.service import Service
from shared.service.unit import Unit

NUMBER = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
"""The number of a datablock within its dataset: where a page of them ends."""


class Datablocks:
    """What is asked about datablocks, and about where a dataset lies."""

    def __init__(self, db: Db, chains: Chains) -> None:
        self._db, self._chains = db, chains

    def register(self, service: Service) -> None:
        """Registers the handlers."""
        service.on(DATABLOCK_LIST, self.list)
        service.on(DATABLOCK_FILES, self.files)
        service.on(DATABLOCK_REPORT, self.report)
        service.on(DATASET_LOCATE, self.locate)
        service.on(DATASET_EXPLAIN, self.explain)

    async def list(self, ctx: Context, asked: DatablockQuery) -> DatablockPage:
        """A page of a dataset's datablocks; those that are only planned or packed are not shown."""
        row = await self._seen(ctx, asked.pid)
        after = place_of(asked, NUMBER)
        rows = await datablocks.page(self._db, row["id"], -1 if after is None else after, asked.size + 1)
        items, more = fitting([datablocks.datablock_of(one, asked.pid) for one in rows], asked.size)
        return DatablockPage(items, token_of(asked, rows[len(items) - 1]["number"]) if more else "")

    async def files(self, ctx: Context, asked: FileQuery) -> FilePage:
        """A page of stored files, with where each lies in its datablock."""
        row = await self._seen(ctx, asked.pid)
        after = place_of(asked, str) or ""
        found = await files.stored_page(self._db, row["id"], asked.datablock, after, asked.size + 1)
        items, more = fitting(found, asked.size)
        return FilePage(items, token_of(asked, items[-1].path) if more else "")

    async def report(self, unit: Unit, ctx: Context, asked: DatablockReport) -> Datablock:
        """The retriever reports how it found a datablock. A repeat, and what is known already, changes nothing."""
        row = await datasets.lock_owned(unit.connection, ctx, asked.pid)
        block = await datablocks.lock(unit.connection, row["id"], asked.datablock)
        if block is None:
            raise NotFound(f"dataset {asked.pid} has no datablock {asked.datablock}", field="datablock")
        found = await damage.record(unit, row, block, asked)
        if found["state"] != block["state"]:
            verb = "damaged" if asked.damage else "validated"
            unit.emit(subjects.event("datablock", verb, row["id"]), datasets.changed(row))
            log.warning("datablock.reported", dataset=asked.pid, datablock=str(block["id"]), damage=asked.damage or "")
        return datablocks.datablock_of(found, asked.pid)

    async def locate(self, ctx: Context, asked: DatasetRef) -> Located:
        """The long-term storages that hold all of a dataset; its size before it is packed is that of its files."""
        row = await self._seen(ctx, asked.pid)
        storages = await datablocks.storages(self._db, row["id"])
        return Located(asked.pid, row["packed_size"] or row["size"], storages, row["damaged"])

    async def explain(self, ctx: Context, asked: DatasetRef) -> DatasetState:
        """Why the dataset is where it is."""
        row = await self._seen(ctx, asked.pid)
        return await explain(self._db, self._chains, row)

    async def _seen(self, ctx: Context, pid: str) -> Row:
        return await datasets.find_owned(self._db, ctx, pid)
