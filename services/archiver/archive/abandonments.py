"""A dataset given up before it is archived: its pid is free at once, its bytes soon."""

import contextlib
from uuid import UUID

from services.archiver.archive.chains import ArchiverChains
from services.archiver.archive.state import OfDataset
from services.archiver.catalogue import store
from services.archiver.catalogue.machine import ARCHIVE, ArchiveState, BlockState
from shared.chain.chains import Chains
from shared.contracts import subjects
from shared.contracts.catalogue import Abandoned, DatasetAbandon
from shared.contracts.endpoints.catalogue import DATASET_ABANDON
from shared.contracts.errors import Conflict, NotFound
from shared.contracts.ids import uuid7
from shared.service.access import owned
from shared.service.context import Context
from shared.service.service import Service
from shared.service.unit import Unit

Q = store.Q
ABANDONABLE = {*ARCHIVE.sources("pack"), *ARCHIVE.sources("start")}
"""Not yet archived, and not being archived."""


class Abandonments:
    def __init__(self, db: store.Db, chains: Chains, declared: ArchiverChains) -> None:
        self._db, self._chains, self._declared = db, chains, declared

    def register(self, service: Service) -> None:
        service.on(DATASET_ABANDON, self.abandon)

    async def abandon(self, unit: Unit, ctx: Context, asked: DatasetAbandon) -> Abandoned:
        """Packing is stopped for it. Conflict once it is archived, or on its way there; a repeat changes nothing."""
        db = unit.connection
        row = await db.fetchrow(Q["dataset"], asked.pid)
        if row is None or asked.id not in (None, row["id"]):
            return await self._again(db, ctx, asked)
        owned(ctx, row, store.no_dataset(asked.pid))
        # The chain's row before the dataset's, as the runner of chains locks them.
        stopped = await self._stop(unit, row)
        locked = await db.fetchrow(Q["lock_dataset"], asked.pid)
        if locked is None or locked["id"] != row["id"]:
            return await self._again(db, ctx, asked)
        if locked["chain"] != row["chain"]:
            raise Conflict(f"dataset {asked.pid} is being worked on since a moment: try again", field="pid")
        await self._check_not_archived(db, locked)
        blocks = await db.fetch(Q["blocks_page"], row["id"], -1, 1)
        await db.fetchrow(Q["abandon"], row["id"])
        storage = blocks[0]["storage"] if blocks else ""
        state_of = OfDataset(row["id"], row["pid"], row["owner"], stopped=stopped, storage=storage)
        await self._chains.start(unit, self._declared.abandonment, state_of, id=uuid7())
        unit.emit(subjects.event("dataset", "abandoned", row["id"]), store.changed(row))
        return Abandoned(row["id"], row["pid"], locked["size"], locked["files"])

    async def _check_not_archived(self, db: store.Db, row: store.Row) -> None:
        """Whatever its status says: a datablock on long-term storage may be the only copy, also of one that is damaged."""
        state = ArchiveState(row["archive_state"])
        counts = await db.fetch(Q["block_counts"], row["id"])
        if state not in ABANDONABLE or row["retrievable"] or any(one["state"] >= BlockState.STORED for one in counts):
            why = "only before it is archived it can be abandoned"
            raise Conflict(f"dataset {row['pid']} is {state.name}, or was archived: {why}", field="pid")

    async def _stop(self, unit: Unit, row: store.Row) -> UUID | None:
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

    async def _again(self, db: store.Db, ctx: Context, asked: DatasetAbandon) -> Abandoned:
        row = await db.fetchrow(Q["abandoned"], asked.pid, asked.id)
        row = owned(ctx, row, store.no_dataset(asked.pid))
        return Abandoned(row["id"], row["pid"], row["size"], row["files"])
