"""The gateway, wired."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from services.gateway import __version__
from services.gateway.edge import Edge
from services.gateway.events.watchers import Watchers
from services.gateway.http.limits import Limits
from services.gateway.http.server import serve
from services.gateway.identity.auth import Auth
from services.gateway.identity.store import Store
from services.gateway.schema import SCHEMA
from services.gateway.settings import Settings
from services.gateway.web import application
from shared.db.pool import ping
from shared.objects.known_storages import recorder
from shared.objects.s3 import open_objects
from shared.objects.schema import SCHEMA as STORAGES
from shared.objects.settings import ObjectsSettings
from shared.runtime.clock import SystemClock
from shared.runtime.settings import load
from shared.service.bootstrap import open_service
from shared.service.health import serve_health


async def main(settings: Settings, stop: asyncio.Event) -> None:
    await run(settings, load(ObjectsSettings), stop)


async def run(settings: Settings, storage: ObjectsSettings, stop: asyncio.Event, limits: Limits | None = None) -> None:
    """Serves until `stop`. `limits`: of connections, if not the usual ones."""
    about = "The HTTP edge."
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(
            open_service(settings, "gateway", __version__, about, STORAGES, SCHEMA, connections=4)
        )
        store = Store(base.pool)
        if settings.admin_token_file:
            await store.register_admin(_token(Path(settings.admin_token_file)))
        objects = await stack.enter_async_context(open_objects(storage, record=recorder(base.pool)))
        checks = {"database": lambda: ping(base.pool), "objects": objects.check}
        serve_health(base.service, checks, clock)
        await base.service.start()
        stack.push_async_callback(base.service.stop)
        watchers = Watchers(base.bus)
        await watchers.start()
        stack.push_async_callback(watchers.stop)
        edge = Edge(base.bus, objects, Auth(store, clock), store, stop)
        app, certificate = application(edge, __version__), (settings.tls_certificate_file, settings.tls_key_file)
        await serve(app, settings.http_host, settings.http_port, stop, certificate=certificate, limits=limits)


def _token(file: Path) -> str:
    token = file.read_text(encoding="utf-8").strip()
    if len(token) < 16:
        raise SystemExit("HEADRACE_ADMIN_TOKEN_FILE: a token of at least 16 characters is expected in it")
    return token
