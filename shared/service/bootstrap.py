"""What every service begins with: its migrated schema, its connection to the bus, its outbox and its endpoints."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec

from shared.bus.client import Bus, BusSettings
from shared.contracts.endpoints import of_service
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.db.schema import SchemaFiles
from shared.runtime.loop import Loop
from shared.runtime.startup import StartFailed
from shared.service.inbox import FORGET_EVERY, forget_keys
from shared.service.outbox import Relay
from shared.service.policy import FilePolicy
from shared.service.schema import SCHEMA
from shared.service.service import Service
from shared.service.unit import Units

POLICY_EVERY: Final = 2.0
"""Seconds between two looks at the policy file."""


class ServiceSettings(BusSettings, frozen=True, kw_only=True):
    """The settings that every service has. A service has to sign, and to check what others sign: both key files are needed.

    database_url  as the service's own role, which sees its own schema only
    policy_file   rules over the roles' permissions (`shared/service/policy.py`); empty: the roles alone
    """

    database_url: str
    delegation_key_file: str
    issuers_file: str
    policy_file: str = ""


class ServiceBase(msgspec.Struct, frozen=True):
    """What a service is made of. The pool and the bus are connected; `service` is started when its handlers are registered."""

    pool: "asyncpg.Pool[Any]"
    bus: Bus
    relay: Relay
    units: Units
    service: Service


@asynccontextmanager
async def open_service(
    settings: ServiceSettings,
    name: str,
    version: str,
    description: str,
    *schemas: SchemaFiles,
    connections: int = 8,
    planner: dict[str, str] | None = None,
    apply_topology: bool = True,
    issuer: str = "",
) -> AsyncIterator[ServiceBase]:
    """Migrates the schema `name`, connects, and closes both at the end. `schemas`: the tables beside our own.

    `planner`: PostgreSQL's settings for the pool's connections. `apply_topology`: False for a site's, which may not change streams.
    `issuer`: as whom it signs, if that is not its name. StartFailed if its key is another's.
    """
    async with await open_pool(settings.database_url, name, max_size=connections, settings=planner) as pool:
        await migrate(pool, name, SCHEMA, *schemas)
        bus = await Bus.connect(settings, name, apply_topology=apply_topology)
        try:
            if bus.delegations.issuer != (issuer or name):
                raise StartFailed(
                    f"HEADRACE_DELEGATION_KEY_FILE is the key of {bus.delegations.issuer}, not of {issuer or name}"
                )
            relay = Relay(bus, pool, name)
            units = Units(pool, relay)
            service = Service(bus, units, name, version, description, of_service(name))
            loops = [Loop("inbox", FORGET_EVERY, lambda: forget_keys(pool))]
            if settings.policy_file:
                policy = service.permissions = FilePolicy(Path(settings.policy_file))
                loops.append(Loop("policy", POLICY_EVERY, policy.refresh))
            running = [asyncio.create_task(loop.run()) for loop in loops]
            try:
                yield ServiceBase(pool, bus, relay, units, service)
            finally:
                for task in running:
                    task.cancel()
                await asyncio.wait(running)
        finally:
            await bus.close()
