"""What the gateway answers on the bus: whether it is well."""

from typing import Any

import asyncpg

from shared.bus.context import Context
from shared.contracts import health
from shared.db.pool import ping
from shared.objects.port import Objects
from shared.runtime.clock import Clock, rfc3339


class Health:
    def __init__(self, name: str, version: str, pool: "asyncpg.Pool[Any]", objects: Objects, clock: Clock) -> None:
        self._name, self._version, self._pool, self._objects = name, version, pool, objects
        self._since = rfc3339(clock.now())

    async def check(self, _: Context, __: health.HealthCheck) -> health.Health:
        checks = {"database": await ping(self._pool), "objects": await self._objects.check()}
        well = all(state == "ok" for state in checks.values())
        return health.Health(self._name, self._version, well, checks, self._since)
