"""Brokers of several sites in this process, a gateway, and stand-ins for the scheduler and for the archiver."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec

from services.broker.app import main
from services.broker.settings import Settings
from shared.bus.client import Bus, BusSettings
from shared.contracts import subjects
from shared.contracts.catalogue import DatasetRef, Located
from shared.contracts.compute import Session
from shared.contracts.endpoints.catalogue import DATASET_LOCATE
from shared.contracts.errors import HeadraceError, NotFound, Unavailable
from shared.contracts.events import OfferChanged
from shared.contracts.execution import OURS, Site, SitePing
from shared.objects.settings import ObjectsSettings
from shared.service.bootstrap import ServiceSettings
from shared.service.context import Context
from shared.service.service import Service
from tests.support.buckets import Bucket
from tests.support.databases import Database
from tests.support.gateway_rig import Gateway, Scheduler, running
from tests.support.servers import Servers
from tests.support.speaking import speaking
from tests.support.wait import LIMIT, wait_until

PID = "headrace/astropy"
Document = dict[str, Any]


class Sites:
    """`located`: what the archiver's stand-in says of a dataset. `told`: the events of offers, in order. `locating`: who asked it."""

    def __init__(self, gateway: Gateway, database: Database, s3: Bucket, bus: Bus) -> None:
        self.gateway, self._database, self._s3, self.bus = gateway, database, s3, bus
        self.located: dict[str, Located | HeadraceError] = {PID: Located(PID, 1_887_957, ["lts-a"])}
        self.received: list[OfferChanged] = []
        self.locating: list[Context] = []
        self._running: dict[str, tuple[asyncio.Event, asyncio.Task[None]]] = {}

    @property
    def scheduler(self) -> Scheduler:
        return self.gateway.scheduler

    async def start(self, site: str, *, replica: str = "", **settings: Any) -> None:
        """A broker, until it makes offers. `settings`: as the environment would say them, in lower case."""
        base = ServiceSettings(**self.gateway.servers.bus("broker", site), database_url=self._database.url("broker"))
        made = Settings(
            service=base, objects=ObjectsSettings(**msgspec.structs.asdict(self._s3)), site=site, **settings
        )
        before = len(self.scheduler.asked("site.enter"))
        stop = asyncio.Event()
        task = asyncio.create_task(main(made, stop))
        self._running[replica or site] = stop, task
        await wait_until(lambda: task.done() or len(self.scheduler.asked("site.enter")) > before)
        await wait_until(lambda: task.done() or self._lives(site))
        if task.done():
            task.result()

    async def _lives(self, site: str) -> bool:
        try:
            return await self.free(site) >= 0
        except Unavailable:
            return False

    async def stop(self, name: str) -> None:
        stop, task = self._running.pop(name)
        stop.set()
        await asyncio.wait_for(task, LIMIT)

    async def kill(self, name: str) -> None:
        """In the middle of whatever it does."""
        _, task = self._running.pop(name)
        task.cancel()
        await asyncio.wait([task])

    async def close(self) -> None:
        for name in list(self._running):
            await self.stop(name)

    async def free(self, site: str) -> int:
        subject = subjects.broker(site, "ping")
        headers = speaking(self.gateway.servers.keys, "admin", subject)
        return (await self.bus.request(subject, SitePing(), Site, headers=headers)).cores_free

    def phases(self, offer: str) -> list[str]:
        """What was told of an offer, in order."""
        return [one.phase for one in self.received if str(one.offer) == offer]

    def session_of(self, offer: Document) -> Session:
        return self.scheduler.sessions[UUID(offer["session"])]

    async def archive(self, ctx: Context, asked: DatasetRef) -> Located:
        self.locating.append(ctx)
        found = self.located.get(asked.pid, NotFound(f"there is no dataset {asked.pid}", field="pid"))
        if isinstance(found, HeadraceError):
            raise found
        return found


def wanted(*pids: str, cores: int = 1, most: int | None = None) -> Document:
    data = [{"kind": f"{OURS}dataset", "pid": pid} for pid in pids]
    return {"compute": {"cores": {"min": cores, "max": most or cores}}, "data": data}


async def request(http: httpx.AsyncClient, body: Document) -> Document:
    answer = await http.post("/execution/v1/requests", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def set_phase(http: httpx.AsyncClient, offer: Document, value: str) -> httpx.Response:
    update = {"kind": "uri:enum-value-update", "path": "/phase", "value": value}
    return await http.post(f"/execution/v1/sessions/{offer['meta']['uuid']}", json=update)


async def see(http: httpx.AsyncClient, offer: Document) -> Document:
    answer = await http.get(f"/execution/v1/sessions/{offer['meta']['uuid']}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def until(http: httpx.AsyncClient, offer: Document, phase: str, timeout: float = LIMIT) -> Document:
    """Waits until an offer is in a phase."""

    async def there() -> Document | None:
        seen = await see(http, offer)
        return seen if seen["phase"] == phase else None

    found = await wait_until(there, timeout=timeout, every=0.05, on_timeout=lambda: see(http, offer))
    assert found is not None
    return found


@asynccontextmanager
async def open_sites(servers: Servers, database: Database, s3: Bucket, folder: Path) -> AsyncIterator[Sites]:
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(running(servers, database, s3, folder))

        async def connect(user: str, *, topology: bool = True) -> Bus:
            bus = await Bus.connect(BusSettings(**servers.bus(user)), user, apply_topology=topology)
            stack.push_async_callback(bus.close)
            return bus

        sites = Sites(gateway, database, s3, await connect("admin", topology=False))

        async def hear(message: Any) -> None:
            sites.received.append(msgspec.json.decode(message.data, type=OfferChanged))

        await sites.bus.nc.subscribe("hr.evt.offer.>", cb=hear)
        archiver = Service(await connect("archiver"), None, "archiver", "0.0.1", "stand-in")
        archiver.on(DATASET_LOCATE, sites.archive)
        await archiver.start()
        stack.push_async_callback(archiver.stop)
        stack.push_async_callback(sites.close)
        yield sites
