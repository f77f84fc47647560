"""Uploads: addresses to upload to, and the word that all is there."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

from services.archiver.archive.chains import ArchiverChains
from services.archiver.archive.state import OfDataset
from services.archiver.catalogue import layout, store
from services.archiver.catalogue.machine import ARCHIVE, ArchiveState, BlockState
from shared.chain.chains import Chains
from shared.contracts import subjects
from shared.contracts.catalogue import (
    Dataset,
    DatasetRef,
    UploadFile,
    UploadPage,
    UploadQuery,
    UploadSign,
    UploadUrl,
    UploadUrls,
)
from shared.contracts.endpoints.catalogue import UPLOAD_FINISH, UPLOAD_LIST, UPLOAD_SIGN
from shared.contracts.errors import Conflict, NotFound, TooLarge
from shared.contracts.ids import uuid7
from shared.objects.port import Objects, Stored
from shared.runtime.clock import Clock, rfc3339
from shared.service.context import Context
from shared.service.paging import fitting, place_of, token_of
from shared.service.service import Service
from shared.service.unit import Unit

Q = store.Q
AT_ONCE = 32
"""Files looked for in object storage at once."""


class Uploads:
    """`expiry`: how long an address is valid."""

    def __init__(
        self, db: store.Db, chains: Chains, declared: ArchiverChains, objects: Objects, clock: Clock, expiry: timedelta
    ) -> None:
        self._db, self._chains, self._declared = db, chains, declared
        self._objects, self._clock, self._expiry = objects, clock, expiry

    def register(self, service: Service) -> None:
        service.on(UPLOAD_LIST, self.list)
        service.on(UPLOAD_SIGN, self.sign)
        service.on(UPLOAD_FINISH, self.finish)

    async def list(self, ctx: Context, asked: UploadQuery) -> UploadPage:
        """Registered files, each looked for in the landing zone."""
        row = await store.dataset(self._db, ctx, asked.pid)
        _check_open(row)
        await self._keep(row)  # first: from now on the sweep leaves alone what is said to be there
        rows = await self._db.fetch(Q["files_page"], row["id"], place_of(asked, str) or "", asked.size + 1)
        gate = asyncio.Semaphore(AT_ONCE)

        async def seen(file: store.Row) -> UploadFile:
            async with gate:
                stored = await self._objects.head(layout.landing_key(row["id"], file["path"]))
            return UploadFile(file["path"], file["size"], file["chk"], is_uploaded(stored, file["size"], file["chk"]))

        found = await asyncio.gather(*(seen(one) for one in rows[: asked.size]))
        items, more = fitting(found, asked.size)
        return UploadPage(items, token_of(asked, items[-1].path) if more or len(rows) > asked.size else "")

    async def _keep(self, row: store.Row) -> datetime:
        """Until when addresses of now are valid: so long at least, what is uploaded stays."""
        until = self._clock.now() + self._expiry
        await self._db.execute(Q["keep_addresses"], row["id"], until)
        return until

    async def sign(self, ctx: Context, asked: UploadSign) -> UploadUrls:
        row = await store.dataset(self._db, ctx, asked.pid)
        if row["damaged"] and row["archive_state"] in ARCHIVE.sources("heal"):
            found = await self._db.fetch(Q["files_to_repair"], row["id"], asked.paths, int(BlockState.DAMAGED))
        else:
            _check_open(row)
            found = await self._db.fetch(Q["files_at"], row["id"], asked.paths)
        known = {one["path"] for one in found}
        for place, path in enumerate(asked.paths):
            if path not in known:
                raise NotFound(f"dataset {asked.pid} has no file {path!r}", field=f"paths[{place}]")
        urls = [await self._signed(row["id"], path) for path in asked.paths]
        fits, more = fitting(urls, len(urls))
        if more:
            raise TooLarge(f"the addresses of {len(urls)} files do not fit into a message: ask for at most {len(fits)}")
        return UploadUrls(urls, rfc3339(await self._keep(row)))

    async def _signed(self, dataset: UUID, path: str) -> UploadUrl:
        await asyncio.sleep(0)  # signing is work of about a millisecond: others have their turn in between
        return UploadUrl(path, await self._objects.presign_put(layout.landing_key(dataset, path), self._expiry))

    async def finish(self, unit: Unit, ctx: Context, asked: DatasetRef) -> Dataset:
        """Starts the post-upload chain. Repeated while that is under way: should it fail, it is started again, for it may have
        looked before the last file came. Repeated when it is done, it changes nothing."""
        row = await store.dataset(unit.connection, ctx, asked.pid, "lock_dataset")
        if row["archive_state"] not in ARCHIVE.sources("pack"):
            return store.dataset_of(row)
        if await live(self._chains, row):
            await unit.connection.execute(Q["finish_again"], row["id"])
            return store.dataset_of(row)
        if not row["files"]:
            raise Conflict(f"dataset {asked.pid} has no files yet: register them first", field="pid")
        state = OfDataset(row["id"], asked.pid, row["owner"])
        chain = await self._chains.start(unit, self._declared.post_upload, state, id=uuid7())
        row = await unit.connection.fetchrow(Q["set_chain"], row["id"], chain)
        unit.emit(subjects.event("upload", "finished", row["id"]), store.changed(row))
        return store.dataset_of(row)


def is_uploaded(stored: Stored | None, size: int, chk: str) -> bool:
    """Whether a file need not be sent again. Few stores know the hash of what others put there; what has the right size and is
    not the right file is found out when it is packed, and removed then."""
    return stored is not None and stored.size == size and stored.sha256 in ("", chk)


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
