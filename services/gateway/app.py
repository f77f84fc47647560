"""Wiring: which adapters the gateway runs with."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from services.gateway.auth import Auth
from services.gateway.edge import Edge
from services.gateway.handlers import Health
from services.gateway.settings import Settings
from services.gateway.store import Store
from services.gateway.web import application, serve
from shared.bus.client import Bus
from shared.bus.service import Service
from shared.contracts.health import HealthCheck
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.objects.s3 import open_objects
from shared.objects.settings import ObjectsSettings
from shared.runtime.clock import SystemClock

VERSION = "0.1.0"


async def run(settings: Settings, storage: ObjectsSettings, stop: asyncio.Event) -> None:
    """Serves until `stop`."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings.database_url, "gateway", largest=4)
        stack.push_async_callback(pool.close)
        await migrate(pool, "gateway", Path(__file__).with_name("migrations"))
        store = Store(pool)
        if settings.admin_token_file:
            await store.register_admin(_token(Path(settings.admin_token_file)))
        objects = await stack.enter_async_context(open_objects(storage))
        bus = await Bus.connect(settings, "gateway")
        stack.push_async_callback(bus.close)
        health = Health("gateway", VERSION, pool, objects, clock)
        service = Service(bus, None, "gateway", VERSION, "The HTTP edge")
        service.reads("health", "check", HealthCheck, health.check)
        await service.start()
        stack.push_async_callback(service.stop)
        edge = Edge(bus, objects, Auth(store, clock), store)
        await serve(application(edge, VERSION), edge, settings.http_host, settings.http_port, stop)


def _token(file: Path) -> str:
    token = file.read_text(encoding="utf-8").strip()
    if len(token) < 16:
        raise SystemExit("HEADRACE_ADMIN_TOKEN_FILE: a token of at least 16 characters is expected in it")
    return token
