"""Retrievals: asked for, looked at, downloaded from."""

import asyncio
from datetime import timedelta
from uuid import UUID

from services.retriever.retrieval import store
from services.retriever.retrieval.chain import Retrieve
from services.retriever.retrieval.state import Retrieving
from shared.bus.client import Bus
from shared.chain.chains import Chains
from shared.chain.store import OperationOf
from shared.contracts import subjects
from shared.contracts.catalogue import DatasetRef
from shared.contracts.compute import SessionGet
from shared.contracts.endpoints.catalogue import DATASET_GET
from shared.contracts.endpoints.compute import SESSION_GET
from shared.contracts.endpoints.retrieval import RETRIEVAL_CREATE, RETRIEVAL_GET, RETRIEVAL_URLS
from shared.contracts.errors import AlreadyExists, Conflict, Invalid, NotFound
from shared.contracts.ids import uuid7
from shared.contracts.retrieval import (
    Download,
    DownloadQuery,
    Downloads,
    Retrieval,
    RetrievalCreate,
    RetrievalRef,
)
from shared.objects.port import Objects
from shared.runtime.clock import Clock, rfc3339
from shared.service.access import owned
from shared.service.ask import ask
from shared.service.context import Context
from shared.service.paging import fitting, place_of, token_of
from shared.service.service import Service
from shared.service.unit import Unit


class Retrievals:
    """`expiry`: how long an address to download from is valid."""

    def __init__(
        self,
        db: store.Db,
        bus: Bus,
        chains: Chains,
        retrieve: Retrieve,
        objects: Objects,
        clock: Clock,
        expiry: timedelta,
    ) -> None:
        self._db, self._bus, self._chains, self._retrieve = db, bus, chains, retrieve
        self._objects, self._clock, self._expiry = objects, clock, expiry

    def register(self, service: Service) -> None:
        """Registers the handlers."""
        service.on(RETRIEVAL_CREATE, self.create)
        service.on(RETRIEVAL_GET, self.get)
        service.on(RETRIEVAL_URLS, self.urls)

    async def create(self, unit: Unit, ctx: Context, asked: RetrievalCreate) -> Retrieval:
        """A new retrieval, and the chain that does it. Conflict if the dataset is not on long-term storage."""
        _check(asked)
        await self._check_session(ctx, asked.session)
        await self._check_retrievable(ctx, asked.pid)
        db, id = unit.connection, asked.id or uuid7()
        row = await store.insert(db, id, ctx.user, asked)
        if row is None:
            return await self._again(ctx, asked)
        state = Retrieving(id, asked.pid, ctx.user, asked.job, asked.session)
        shown = OperationOf("retrieve", ctx.user, f"datasets/{asked.pid}")
        await self._chains.start(unit, self._retrieve.chain, state, id=id, operation=shown)
        unit.emit(subjects.event("retrieval", "changed", id), await store.changed(db, id, "running"))
        return Retrieval(
            id, asked.pid, ctx.user, "running", self._retrieve.chain.steps[0].name, "", 0, 0, len(asked.results), 0,
            rfc3339(row["created_at"]),
        )  # fmt: skip

    async def _check_session(self, ctx: Context, session: UUID | None) -> None:
        """Bytes of results are kept under their session: nobody else may put any there. Somebody else's session gets the answer of
        one that there is not."""
        if session is None:
            return
        try:
            await ask(self._bus, SESSION_GET, SessionGet(session), ctx)
        except NotFound:
            raise NotFound(f"there is no session {session}", field="session") from None

    async def _check_retrievable(self, ctx: Context, pid: str) -> None:
        """Refuses at once what cannot be retrieved; what decides is the chain."""
        found = await ask(self._bus, DATASET_GET, DatasetRef(pid), ctx)
        if not found.datasetlifecycle.retrievable:
            raise Conflict(f"dataset {pid} is not retrievable: it is not on long-term storage", field="pid")

    async def _again(self, ctx: Context, asked: RetrievalCreate) -> Retrieval:
        assert asked.id is not None
        row = await self._seen(ctx, RetrievalRef(asked.id))
        requested = {(one["path"], one["result"]) for one in await store.requested_files(self._db, asked.id)}
        same = (row["pid"], row["job"], row["session"]) == (asked.pid, asked.job, asked.session)
        if not same or requested != {(one.path, one.result) for one in asked.results}:
            raise AlreadyExists(f"there is a retrieval {asked.id} already, and it is another", field="id")
        return await self._shown(row)

    async def get(self, ctx: Context, asked: RetrievalRef) -> Retrieval:
        """How a retrieval of the asker's goes."""
        row = await self._seen(ctx, asked)
        return await self._shown(row)

    async def _shown(self, row: store.Row) -> Retrieval:
        chain = await self._chains.get(row["id"])
        return store.retrieval_of(row, chain.status, chain.step, chain.error)

    async def urls(self, ctx: Context, asked: DownloadQuery) -> Downloads:
        """Addresses of a page of datablocks. Conflict while they are not all back; those that are damaged have none."""
        row = await self._seen(ctx, RetrievalRef(asked.retrieval))
        if row["evicted_at"] is not None:
            raise _evicted(asked, f" at {rfc3339(row['evicted_at'])}")
        if not row["retrieved"] or row["retrieved"] + row["damaged"] < row["datablocks"]:
            raise Conflict(f"retrieval {asked.retrieval} has {row['retrieved']} of {row['datablocks']} datablocks back")
        until = self._clock.now() + self._expiry
        if not await store.keep_addresses(self._db, asked.retrieval, until):  # evicted a moment ago
            raise _evicted(asked)
        rows = await store.datablocks_page(self._db, asked.retrieval, place_of(asked, str) or "", asked.size + 1)
        items, more = fitting([await self._download(one) for one in rows], asked.size)
        return Downloads(items, rfc3339(until), token_of(asked, rows[len(items) - 1]["archive_id"]) if more else "")

    async def _download(self, block: store.Row) -> Download:
        await asyncio.sleep(0)  # signing is work of about a millisecond: others have their turn in between
        name = block["archive_id"].rpartition("/")[2]
        if block["damage"]:
            return Download(name, block["packed_size"], block["chk"], "", block["datablock"], block["damage"])
        url = await self._objects.presign_get(store.retrieval_key(block["archive_id"]), self._expiry, name)
        return Download(name, block["packed_size"], block["chk"], url, block["datablock"])

    async def _seen(self, ctx: Context, asked: RetrievalRef) -> store.Row:
        row = await store.find(self._db, asked.retrieval)
        return owned(ctx, row, NotFound(f"there is no retrieval {asked.retrieval}", field="retrieval"))


def _evicted(asked: DownloadQuery, when: str = "") -> Conflict:
    return Conflict(f"the datablocks of retrieval {asked.retrieval} were removed again{when}: make another")


def _check(asked: RetrievalCreate) -> None:
    if asked.results and asked.session is None:
        raise Invalid("results belong to a session: say which", field="session")
    results = [one.result for one in asked.results]
    if len(set(results)) != len(results):
        raise Invalid("a result stands twice", field="results")
