"""A real archiver and a real retriever in this process, on the real servers: asked over the bus, as the gateway would."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import httpx
import msgspec

from services.archiver import app as archiver
from services.archiver.settings import PackSettings
from services.archiver.settings import Settings as ArchiverSettings
from services.retriever import app as retriever
from services.retriever.settings import KeepSettings
from services.retriever.settings import Settings as RetrieverSettings
from shared.bus.client import Bus, BusSettings
from shared.contracts import catalogue as k
from shared.contracts import retrieval as r
from shared.contracts import subjects
from shared.contracts.health import Health, HealthCheck
from shared.objects.lts import LtsSettings
from shared.objects.s3 import S3Objects, open_objects
from shared.objects.settings import ObjectsSettings
from shared.objects.storage_init import init_folder
from shared.service.bootstrap import ServiceSettings
from tests.support.buckets import new_bucket
from tests.support.compute_rig import forget_streams, new_database
from tests.support.databases import Database
from tests.support.folders import folder
from tests.support.servers import Servers
from tests.support.speaking import speaking
from tests.support.wait import LIMIT, wait_until

T = TypeVar("T")


class DataRig:
    """`ask` speaks as `user`; `objects`: the bucket; `lts`: the folder that is long-term storage."""

    def __init__(self, servers: Servers, database: Database, bus: Bus, objects: S3Objects, lts: Path) -> None:
        self.servers, self.database, self.bus = servers, database, bus
        self.objects, self.lts = objects, lts
        self._running: dict[str, tuple[asyncio.Event, asyncio.Task[None]]] = {}

    async def ask(self, name: str, request: Any, reply: type[T], *, user: str = "ann") -> T:
        """`name`: service, noun and verb, such as `archiver.dataset.get`."""
        service, noun, verb = name.split(".")
        subject = subjects.rpc(service, noun, verb)
        headers = speaking(self.servers.keys, user, subject)
        return await self.bus.request(subject, request, reply, headers=headers, timeout=20)

    async def sql(self, query: str, *values: object) -> list[Any]:
        admin = await asyncpg.connect(self.database.admin_url)
        try:
            return list(await admin.fetch(query, *values))
        finally:
            await admin.close()

    # -- the services

    async def start(self, storage: ObjectsSettings, pack: PackSettings, keep: KeepSettings) -> None:
        def settings_of(name: str) -> ServiceSettings:
            return ServiceSettings(**self.servers.bus(name), database_url=self.database.url(name))

        lts = LtsSettings(lts_url=self.lts.as_uri(), lts_name="lts")
        for name, main in (
            (
                "archiver",
                lambda stop: archiver.main(ArchiverSettings(settings_of("archiver"), storage, lts, pack), stop),
            ),
            (
                "retriever",
                lambda stop: retriever.main(RetrieverSettings(settings_of("retriever"), storage, lts, keep), stop),
            ),
        ):
            stop = asyncio.Event()
            self._running[name] = stop, asyncio.create_task(main(stop))
        for name in self._running:
            await wait_until(lambda name=name: self._is_up(name))  # type: ignore[misc]

    async def _is_up(self, name: str) -> bool:
        assert not self._running[name][1].done(), self._running[name][1].exception()
        try:
            return (await self.ask(f"{name}.health.check", HealthCheck(), Health)).ok
        except Exception:
            return False

    async def close(self) -> None:
        for stop, task in self._running.values():
            stop.set()
            await asyncio.wait_for(task, LIMIT)

    # -- what users do

    async def register(
        self, pid: str, files: dict[str, bytes], *, user: str = "ann", replace: bool = False
    ) -> k.Dataset:
        await self.ask("archiver.dataset.create", k.DatasetCreate(pid), k.Dataset, user=user)
        await self.add(pid, files, user=user, replace=replace)
        return await self.dataset(pid, user=user)

    async def add(
        self, pid: str, files: dict[str, bytes], *, user: str = "ann", replace: bool = False
    ) -> k.OrigDatablock:
        listed = [k.DataFile(path, len(data), sha256(data).hexdigest()) for path, data in files.items()]
        more = {"replace": True} if replace else {}
        asked = k.OrigDatablockCreate(pid, listed, **more)  # type: ignore[arg-type]
        return await self.ask("archiver.origdatablock.create", asked, k.OrigDatablock, user=user)

    async def upload(self, pid: str, files: dict[str, bytes], *, user: str = "ann") -> None:
        signed = await self.ask("archiver.upload.sign", k.UploadSign(pid, list(files)), k.UploadUrls, user=user)
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            for one in signed.urls:
                (await http.put(one.url, content=files[one.path], headers=one.headers)).raise_for_status()

    async def finish(self, pid: str) -> None:
        await self.ask("archiver.upload.finish", k.DatasetRef(pid), k.Dataset)

    async def dataset(self, pid: str, *, user: str = "ann") -> k.Dataset:
        return await self.ask("archiver.dataset.get", k.DatasetRef(pid), k.Dataset, user=user)

    async def explain(self, pid: str) -> k.DatasetState:
        return await self.ask("archiver.dataset.explain", k.DatasetRef(pid), k.DatasetState)

    async def until(self, pid: str, status: str) -> k.Dataset:
        async def there() -> k.Dataset | None:
            found = await self.dataset(pid)
            return found if found.datasetlifecycle.archive_status_message == status else None

        found = await wait_until(there, on_timeout=lambda: self.explain(pid))
        assert found is not None
        return found

    async def archive(self, pid: str) -> UUID:
        return (await self.ask("archiver.job.create", k.JobCreate("archive", pid), k.Job)).id

    async def store(self, pid: str, files: dict[str, bytes]) -> None:
        """All the way to long-term storage, and cleared here."""
        await self.register(pid, files)
        await self.upload(pid, files)
        await self.finish(pid)
        await self.until(pid, "datasetCreated")
        await self.archive(pid)
        await self.until(pid, "datasetOnArchiveDisk")

        async def cleared() -> bool:
            return not (await self.dataset(pid)).datasetlifecycle.is_on_central_disk

        await wait_until(cleared)

    async def retrieve(self, pid: str) -> UUID:
        """A retrieval that is done."""
        made = await self.ask("retriever.retrieval.create", r.RetrievalCreate(pid, uuid4()), r.Retrieval)

        async def done() -> bool:
            seen = await self.ask("retriever.retrieval.get", r.RetrievalRef(made.id), r.Retrieval)
            assert seen.status in ("running", "done"), seen
            return seen.status == "done"

        await wait_until(done)
        return made.id

    async def keys(self, prefix: str) -> list[str]:
        return [one.key async for one in self.objects.list(prefix)]


@asynccontextmanager
async def open_data_rig(
    servers: Servers, pack: PackSettings = PackSettings(datablock_mib=1), keep: KeepSettings = KeepSettings()
) -> AsyncIterator[DataRig]:
    async with AsyncExitStack() as stack:
        await forget_streams(servers)
        database = await stack.enter_async_context(new_database(servers))
        bucket = await stack.enter_async_context(new_bucket(servers))
        storage = ObjectsSettings(**msgspec.structs.asdict(bucket), s3_patience=2.0)
        objects = await stack.enter_async_context(open_objects(storage))
        bus = await Bus.connect(BusSettings(**servers.bus("admin")), "test", apply_topology=False)
        stack.push_async_callback(bus.close)
        lts = stack.enter_context(folder())
        lts.mkdir()
        init_folder(lts, "lts")
        rig = DataRig(servers, database, bus, objects, lts)
        stack.push_async_callback(rig.close)
        await rig.start(storage, pack, keep)
        yield rig


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


async def pages(rig: DataRig, name: str, kind: Any, reply: type[T], user: str = "ann", **asked: Any) -> Sequence[T]:
    """All pages of a list."""
    found: list[T] = []
    token = ""
    while True:
        page: Any = await rig.ask(name, kind(**asked, token=token), reply, user=user)
        found.append(page)
        if not (token := page.next):
            return found
