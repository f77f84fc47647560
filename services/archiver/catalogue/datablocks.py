"""Datablocks: what they are, what is in them, where they lie; and why a dataset is where it is."""

from typing import Annotated

import msgspec

from services.archiver.catalogue import damage, store
from services.archiver.catalogue.explain import explain
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
    StoredFile,
)
from shared.contracts.endpoints.catalogue import (
    DATABLOCK_FILES,
    DATABLOCK_LIST,
    DATABLOCK_REPORT,
    DATASET_EXPLAIN,
    DATASET_LOCATE,
)
from shared.contracts.errors import NotFound
from shared.runtime.log import log
from shared.service.context import Context
from shared.service.paging import fitting, place_of, token_of
from shared.service.service import Service
from shared.service.unit import Unit

Q = store.Q
NUMBER = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
"""Of a datablock within its dataset: where a page of them ends."""


class Datablocks:
    def __init__(self, db: store.Db, chains: Chains) -> None:
        self._db, self._chains = db, chains

    def register(self, service: Service) -> None:
        service.on(DATABLOCK_LIST, self.list)
        service.on(DATABLOCK_FILES, self.files)
        service.on(DATABLOCK_REPORT, self.report)
        service.on(DATASET_LOCATE, self.locate)
        service.on(DATASET_EXPLAIN, self.explain)

    async def list(self, ctx: Context, asked: DatablockQuery) -> DatablockPage:
        row = await self._seen(ctx, asked.pid)
        after = place_of(asked, NUMBER)
        rows = await self._db.fetch(Q["blocks_page"], row["id"], -1 if after is None else after, asked.size + 1)
        items, more = fitting([store.block_of(one, asked.pid) for one in rows], asked.size)
        return DatablockPage(items, token_of(asked, rows[len(items) - 1]["number"]) if more else "")

    async def files(self, ctx: Context, asked: FileQuery) -> FilePage:
        row = await self._seen(ctx, asked.pid)
        where = (row["id"], place_of(asked, str) or "", asked.size + 1)
        if asked.datablock is None:
            rows = await self._db.fetch(Q["stored_files"], *where)
        else:
            rows = await self._db.fetch(Q["stored_files_of"], *where, asked.datablock)
        items, more = fitting([StoredFile(**one) for one in rows], asked.size)
        return FilePage(items, token_of(asked, items[-1].path) if more else "")

    async def report(self, unit: Unit, ctx: Context, asked: DatablockReport) -> Datablock:
        """From the retriever. A repeat, and what is no news, changes nothing."""
        row = await store.dataset(unit.connection, ctx, asked.pid, "lock_dataset")
        block = await unit.connection.fetchrow(Q["block"], row["id"], asked.datablock)
        if block is None:
            raise NotFound(f"dataset {asked.pid} has no datablock {asked.datablock}", field="datablock")
        found = await damage.record(unit, row, block, asked)
        if found["state"] != block["state"]:
            verb = "damaged" if asked.damage else "validated"
            unit.emit(subjects.event("datablock", verb, row["id"]), store.changed(row))
            log.warning("datablock.reported", dataset=asked.pid, datablock=str(block["id"]), damage=asked.damage or "")
        return store.block_of(found, asked.pid)

    async def locate(self, ctx: Context, asked: DatasetRef) -> Located:
        row = await self._seen(ctx, asked.pid)
        storages = [one["storage"] for one in await self._db.fetch(Q["located"], row["id"])]
        return Located(asked.pid, row["packed_size"] or row["size"], storages, row["damaged"])

    async def explain(self, ctx: Context, asked: DatasetRef) -> DatasetState:
        row = await self._seen(ctx, asked.pid)
        return await explain(self._db, self._chains, row)

    async def _seen(self, ctx: Context, pid: str) -> store.Row:
        return await store.dataset(self._db, ctx, pid)
