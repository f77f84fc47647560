"""The gateway, wired."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from services.gateway import __version__
from services.gateway.edge import Edge
from services.gateway.events.watch_endpoint import WatchEndpoint
from services.gateway.execution.grants import Grants
from services.gateway.execution.worksteps import Worksteps
from services.gateway.http import openapi
from services.gateway.http.application import Application
from services.gateway.http.connection.limits import Limits
from services.gateway.http.server import serve
from services.gateway.identity.audit import Audit
from services.gateway.identity.auth import Auth
from services.gateway.identity.changes import Changes
from services.gateway.identity.oidc import OidcSettings, open_issuer
from services.gateway.identity.tokens import Tokens
from services.gateway.identity.users import Users
from services.gateway.routes import DOMAINS, actions
from services.gateway.schema import SCHEMA
from services.gateway.settings import Settings
from shared.contracts.endpoints.sites import SITE_GRANT
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
    """Runs the gateway until `stop`, with the settings of object storage and of the OIDC issuer from the environment."""
    await run(settings, load(ObjectsSettings), stop, oidc=load(OidcSettings))


async def run(
    settings: Settings,
    storage: ObjectsSettings,
    stop: asyncio.Event,
    limits: Limits | None = None,
    oidc: OidcSettings = OidcSettings(),
) -> None:
    """Serves until `stop`. `limits`: of connections, if not the usual ones."""
    about = "The HTTP edge."
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(
            open_service(settings, "gateway", __version__, about, STORAGES, SCHEMA, connections=4)
        )
        tokens, users = Tokens(base.pool), Users(base.pool)
        if settings.admin_token_file:
            await users.put_admin()
            await tokens.put_file_token(_token(Path(settings.admin_token_file)))
        objects = await stack.enter_async_context(open_objects(storage, record=recorder(base.pool)))
        checks = {"database": lambda: ping(base.pool), "objects": objects.check}
        serve_health(base.service, checks, clock)
        worksteps = Worksteps(base.pool)
        base.service.on(SITE_GRANT, Grants(base.bus.delegations, worksteps, users.find).renew)
        await base.service.start()
        stack.push_async_callback(base.service.stop)
        audit = Audit(base.pool, clock)
        await audit.start(base.bus)
        stack.push_async_callback(audit.stop)
        watches = WatchEndpoint(base.bus, base.service.permissions)
        await watches.start()
        stack.push_async_callback(watches.stop)
        issuer = await stack.enter_async_context(open_issuer(oidc, clock, users.is_disabled))
        auth = Auth(tokens, clock, issuer)
        changes = Changes(base.bus, auth)
        await changes.listen()
        edge = Edge(
            base.bus,
            objects,
            auth,
            tokens,
            users,
            changes,
            worksteps,
            stop,
            base.service.permissions,
            actions(),
            audit,
            requests_per_second=settings.http_requests_per_second,
            failures_per_second=settings.http_failures_per_second,
        )
        app = Application(edge, [*DOMAINS, openapi.domain(DOMAINS, __version__)])
        certificate = (settings.tls_certificate_file, settings.tls_key_file)
        await serve(app, settings.http_host, settings.http_port, stop, certificate=certificate, limits=limits)


def _token(file: Path) -> str:
    token = file.read_text(encoding="utf-8").strip()
    if len(token) < 16:
        raise SystemExit("HEADRACE_ADMIN_TOKEN_FILE: a token of at least 16 characters is expected in it")
    return token
