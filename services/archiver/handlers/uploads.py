"""Uploads: addresses to upload to, and the word that all is there."""

import asyncio
from datetime import timedelta
from uuid import UUID

from services.archiver import layout, store
from services.archiver.chains import ArchiverChains
from services.archiver.machine import ARCHIVE, ArchiveState
from services.archiver.state import OfDataset
from shared.bus.access import check
from shared.bus.context import Context
from shared.bus.paging import fitting
from shared.bus.service import Service
from shared.bus.unit import Unit
from shared.chain.chains import Chains
from shared.contracts import subjects
from shared.contracts.catalogue import Dataset, DatasetRef, UploadSign, UploadUrl, UploadUrls
from shared.contracts.errors import Conflict, NotFound, TooLarge
from shared.contracts.ids import uuid7
from shared.objects.port import Objects
from shared.runtime.clock import Clock, rfc3339

Q = store.Q


class Uploads:
    """`expiry`: how long an address is valid."""

    def __init__(
        self, db: store.Db, chains: Chains, declared: ArchiverChains, objects: Objects, clock: Clock, expiry: timedelta
    ) -> None:
        self._db, self._chains, self._declared = db, chains, declared
        self._objects, self._clock, self._expiry = objects, clock, expiry

    def register(self, service: Service) -> None:
        service.reads("upload", "sign", UploadSign, self.sign)
        service.writes("upload", "finish", DatasetRef, self.finish)

    async def sign(self, ctx: Context, asked: UploadSign) -> UploadUrls:
        row = await store.dataset(self._db, asked.pid)
        check(ctx, row, "dataset")
        _check_open(row)
        known = {one["path"] for one in await self._db.fetch(Q["files_at"], row["id"], asked.paths)}
        for place, path in enumerate(asked.paths):
            if path not in known:
                raise NotFound(f"dataset {asked.pid} has no file {path!r}", field=f"paths[{place}]")
        urls = [await self._signed(row["id"], path) for path in asked.paths]
        fits, more = fitting(urls, len(urls))
        if more:
            raise TooLarge(f"the addresses of {len(urls)} files do not fit into a message: ask for at most {len(fits)}")
        return UploadUrls(urls, rfc3339(self._clock.now() + self._expiry))

    async def _signed(self, dataset: UUID, path: str) -> UploadUrl:
        await asyncio.sleep(0)  # signing is work of about a millisecond: others have their turn in between
        return UploadUrl(path, await self._objects.presign_put(layout.landing_key(dataset, path), self._expiry))

    async def finish(self, unit: Unit, ctx: Context, asked: DatasetRef) -> Dataset:
        """Starts the post-upload chain. Said again while that runs, or when it is done, it changes nothing."""
        row = await store.dataset(unit.connection, asked.pid, "lock_dataset")
        check(ctx, row, "dataset")
        if row["archive_state"] not in ARCHIVE.sources("pack") or await live(self._chains, row):
            return store.dataset_of(row)
        if not row["files"]:
            raise Conflict(f"dataset {asked.pid} has no files yet: register them first", field="pid")
        state = OfDataset(row["id"], asked.pid, row["owner"])
        chain = await self._chains.start(unit, self._declared.post_upload, state, id=uuid7())
        row = await unit.connection.fetchrow(Q["set_chain"], row["id"], chain)
        unit.tell(subjects.event("upload", "finished", row["id"]), store.changed(row))
        return store.dataset_of(row)


def _check_open(row: store.Row) -> None:
    if row["archive_state"] not in ARCHIVE.sources("pack"):
        state = ArchiveState(row["archive_state"])
        raise Conflict(f"dataset {row['pid']} is {state.name}: it takes no more files", field="pid")


async def live(chains: Chains, row: store.Row) -> bool:
    """Whether something is going on with the dataset."""
    if row["chain"] is None:
        return False
    try:
        return (await chains.get(row["chain"])).status in ("running", "undoing")
    except NotFound:
        return False
