"""Uploads: which files are there, addresses to upload to, and the request that finishes an upload."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

from services.archiver.archive.chains import ArchiverChains
from services.archiver.archive.state import OfDataset
from services.archiver.catalogue import layout
from services.archiver.catalogue.datasets import has_live_chain
from services.archiver.catalogue.machine import ARCHIVE, ArchiveState
from services.archiver.catalogue.store import datasets, files
from services.archiver.catalogue.store.datasets import Row
from services.archiver.catalogue.store.files import File
from shared.chain import store as chain_store
from shared.chain.chains import Chains
from shared.chain.operation import state_of
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
from shared.db.sql import Db
from shared.objects.port import Objects, Stored
from shared.runtime.clock import Clock, rfc3339
from shared.service.context import Context
from shared.service.paging import fitting, place_of, token_of
from shared.service.service import Service
from shared.service.unit import Unit

AT_ONCE = 32
"""Files looked for in object storage at once."""


class Uploads:
    """`expiry`: how long an address is valid."""

    def __init__(
        self, db: Db, chains: Chains, declared: ArchiverChains, objects: Objects, clock: Clock, expiry: timedelta
    ) -> None:
        self._db, self._chains, self._declared = db, chains, declared
        self._objects, self._clock, self._expiry = objects, clock, expiry

    def register(self, service: Service) -> None:
        """Registers the handlers."""
        service.on(UPLOAD_LIST, self.list)
        service.on(UPLOAD_SIGN, self.sign)
        service.on(UPLOAD_FINISH, self.finish)

    async def list(self, ctx: Context, asked: UploadQuery) -> UploadPage:
        """Registered files, each looked for in the landing zone."""
        row = await datasets.find_owned(self._db, ctx, asked.pid)
        _check_open(row)
        await self._keep(row)  # first: from now on the sweep leaves alone what is reported as uploaded
        rows = await files.page(self._db, row["id"], place_of(asked, str) or "", asked.size + 1)
        gate = asyncio.Semaphore(AT_ONCE)

        async def seen(file: File) -> UploadFile:
            async with gate:
                stored = await self._objects.head(layout.landing_key(row["id"], file.path))
            return UploadFile(file.path, file.size, file.chk, is_uploaded(stored, file.size, file.chk))

        found = await asyncio.gather(*(seen(one) for one in rows[: asked.size]))
        items, more = fitting(found, asked.size)
        return UploadPage(items, token_of(asked, items[-1].path) if more or len(rows) > asked.size else "")

    async def _keep(self, row: Row) -> datetime:
        """Keeps what is uploaded at least as long as addresses that are signed now are valid; returns until when."""
        until = self._clock.now() + self._expiry
        await datasets.keep_addresses(self._db, row["id"], until)
        return until

    async def sign(self, ctx: Context, asked: UploadSign) -> UploadUrls:
        """Addresses to upload files to. NotFound for a path that is not registered, Conflict once the dataset takes no more files."""
        row = await datasets.find_owned(self._db, ctx, asked.pid)
        if row["damaged"] and row["archive_state"] in ARCHIVE.sources("heal"):
            known = await files.at_in_damaged(self._db, row["id"], asked.paths)
        else:
            _check_open(row)
            known = await files.at(self._db, row["id"], asked.paths)
        for place, path in enumerate(asked.paths):
            if path not in known:
                raise NotFound(f"dataset {asked.pid} has no file {path!r}", field=f"paths[{place}]")
        urls = [await self._signed(row["id"], known[path]) for path in asked.paths]
        fits, more = fitting(urls, len(urls))
        if more:
            raise TooLarge(f"the addresses of {len(urls)} files do not fit into a message: ask for at most {len(fits)}")
        return UploadUrls(urls, rfc3339(await self._keep(row)))

    async def _signed(self, dataset: UUID, file: Row) -> UploadUrl:
        await asyncio.sleep(0)  # signing is work of about a millisecond: others have their turn in between
        key = layout.landing_key(dataset, file["path"])
        signed = await self._objects.presign_put(key, self._expiry, size=file["size"], sha256=file["chk"])
        return UploadUrl(file["path"], signed.url, signed.headers)

    async def finish(self, unit: Unit, ctx: Context, asked: DatasetRef) -> Dataset:
        """Starts the post-upload chain. Repeated while that is under way: should it fail, it is started again, for it may have
        looked before the last file came. Repeated when it is done, it changes nothing."""
        row = await datasets.lock_owned(unit.connection, ctx, asked.pid)
        if row["archive_state"] not in ARCHIVE.sources("pack"):
            return datasets.dataset_of(row)
        if await has_live_chain(self._chains, row):
            if await _is_being_cancelled(unit, row["chain"]):  # its end looks at nothing again
                raise Conflict(
                    f"the upload of {asked.pid} is being cancelled: finish it when that is over", field="pid"
                )
            await datasets.set_finish_again(unit.connection, row["id"])
            return datasets.dataset_of(row)
        if not row["files"]:
            raise Conflict(f"dataset {asked.pid} has no files yet: register them first", field="pid")
        state = OfDataset(row["id"], asked.pid, row["owner"])
        chain = await self._chains.start(unit, self._declared.post_upload, state, operation=state.shown_as("upload"))
        row = await datasets.set_chain(unit.connection, row["id"], chain)
        unit.emit(subjects.event("upload", "finished", row["id"]), datasets.changed(row))
        return datasets.dataset_of(row)


async def _is_being_cancelled(unit: Unit, chain: UUID) -> bool:
    """Without a lock on the chain, whose row is locked before the dataset's everywhere else: a cancel that comes now ends what was
    finished before it."""
    found = await chain_store.find(unit.connection, chain)
    return found is not None and state_of(found) == "cancelling"


def is_uploaded(stored: Stored | None, size: int, chk: str) -> bool:
    """Whether a file need not be sent again. A store that knows no hash of what others put there may have taken other bytes of
    the right size: that is found out when it is packed, and they are removed then."""
    return stored is not None and stored.size == size and stored.sha256 in ("", chk)


def _check_open(row: Row) -> None:
    if row["archive_state"] not in ARCHIVE.sources("pack"):
        state = ArchiveState(row["archive_state"])
        raise Conflict(f"dataset {row['pid']} is {state.name}: it takes no more files", field="pid")
