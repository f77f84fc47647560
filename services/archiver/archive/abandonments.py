"""Abandoning a dataset before it is archived: its pid is free at once, its bytes are removed by a chain."""

import contextlib
from uuid import UUID

from services.archiver.archive.chains import ArchiverChains
from services.archiver.archive.state import OfDataset
from services.archiver.catalogue.machine import ARCHIVE, ArchiveState, BlockState
from services.archiver.catalogue.store import datablocks, datasets
from services.archiver.catalogue.store.datasets import Row
from shared.chain.chains import Chains
from shared.contracts import subjects
from shared.contracts.catalogue import Abandoned, DatasetAbandon
from shared.contracts.endpoints.catalogue import DATASET_ABANDON
from shared.contracts.errors import Conflict, NotFound
from shared.db.sql import Db, load
from shared.service.access import owned
from shared.service.context import Context
from shared.service.service import Service
from shared.service.unit import Unit

Q = load(__file__, "abandonments.sql")
ABANDONABLE = {*ARCHIVE.sources("pack"), *ARCHIVE.sources("start")}
"""Not yet archived, and not being archived."""


class Abandonments:
    """Datasets given up by their owners."""

    def __init__(self, db: Db, chains: Chains, declared: ArchiverChains) -> None:
        self._db, self._chains, self._declared = db, chains, declared

    def register(self, service: Service) -> None:
        """Registers the handler."""
        service.on(DATASET_ABANDON, self.abandon)

    async def abandon(self, unit: Unit, ctx: Context, asked: DatasetAbandon) -> Abandoned:
        """Stops its packing and deletes its rows. Conflict once it is archived or being archived; a repeat changes nothing."""
        db = unit.connection
        row = await datasets.find(db, asked.pid)
        if row is None or asked.id not in (None, row["id"]):
            return await self._again(db, ctx, asked)
        owned(ctx, row, datasets.no_dataset(asked.pid))
        # The chain's row before the dataset's, as the runner of chains locks them.
        stopped = await self._stop(unit, row)
        locked = await datasets.lock(db, asked.pid)
        if locked is None or locked["id"] != row["id"]:
            return await self._again(db, ctx, asked)
        if locked["chain"] != row["chain"]:
            raise Conflict(f"dataset {asked.pid} is being worked on since a moment: try again", field="pid")
        await self._check_not_archived(db, locked)
        blocks = await datablocks.page(db, row["id"], -1, 1)
        await Q.abandon.execute(db, id=row["id"])
        storage = blocks[0]["storage"] if blocks else ""
        state_of = OfDataset(row["id"], row["pid"], row["owner"], stopped=stopped, storage=storage)
        await self._chains.start(unit, self._declared.abandonment, state_of, operation=state_of.shown_as("abandon"))
        unit.emit(subjects.event("dataset", "abandoned", row["id"]), datasets.changed(row))
        return Abandoned(row["id"], row["pid"], locked["size"], locked["files"])

    async def _check_not_archived(self, db: Db, row: Row) -> None:
        """Whatever its status says: a datablock on long-term storage may be the only copy, also of one that is damaged."""
        state = ArchiveState(row["archive_state"])
        counts = await datablocks.counts(db, row["id"])
        if state not in ABANDONABLE or row["retrievable"] or any(one["state"] >= BlockState.STORED for one in counts):
            why = "only before it is archived it can be abandoned"
            raise Conflict(f"dataset {row['pid']} is {state.name}, or was archived: {why}", field="pid")

    async def _stop(self, unit: Unit, row: Row) -> UUID | None:
        """The chain that is at work on the dataset, if it is one that packs."""
        if row["chain"] is None:
            return None
        try:
            found = await self._chains.get(row["chain"])
        except NotFound:
            return None
        if found.status not in ("running", "undoing"):
            return None
        if found.kind != self._declared.post_upload.name:
            raise Conflict(f"dataset {row['pid']} is being archived: chain {found.id} is at {found.step}", field="pid")
        if found.status == "running":
            with contextlib.suppress(Conflict):  # it ended, or failed, a moment ago
                await self._chains.cancel(unit, found.id)
        return found.id

    async def _again(self, db: Db, ctx: Context, asked: DatasetAbandon) -> Abandoned:
        row = await Q.find.fetchrow(db, pid=asked.pid, id=asked.id)
        row = owned(ctx, row, datasets.no_dataset(asked.pid))
        return Abandoned(row["id"], row["pid"], row["size"], row["files"])
