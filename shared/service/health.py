"""The endpoint `health.check`, the same for every service."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from shared.contracts.endpoints.health import CHECK
from shared.contracts.health import Health, HealthCheck
from shared.runtime.clock import Clock, rfc3339
from shared.service.context import Context
from shared.service.service import Service

Check = Callable[[], Awaitable[str]]
"""Looks whether a server that the service needs is there: `ok`, or what is wrong."""


def serve_health(service: Service, checks: Mapping[str, Check], clock: Clock) -> None:
    """Registers the endpoint. `checks`: by the name of the server; the bus needs none, as without it nobody can ask."""
    since = rfc3339(clock.now())

    async def check(ctx: Context, request: HealthCheck) -> Health:
        found = await asyncio.gather(*(one() for one in checks.values()))
        results = dict(zip(checks, found, strict=True))
        ok = all(result == "ok" for result in results.values())
        return Health(service.name, service.version, ok, results, since)

    service.on(CHECK[service.name], check, seconds=3)
