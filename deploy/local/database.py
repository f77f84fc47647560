"""A database with a role and a schema for each service. Used by the embedded stack and by the tests' fixtures."""

from collections.abc import Mapping
from typing import Any

import asyncpg

from shared.contracts.subjects import SERVICES
from shared.db.sql import load

Q = load(__file__, "roles.sql")


async def create(admin: "asyncpg.Connection[Any]", name: str) -> None:
    """Creates a database if it does not exist."""
    if not await admin.fetchval(Q["database_exists"], name):
        await admin.execute(await admin.fetchval(Q["create_database"], name))


async def drop(admin: "asyncpg.Connection[Any]", name: str) -> None:
    """Drops a database and ends the connections to it."""
    await admin.execute(await admin.fetchval(Q["drop_database"], name))


async def roles(admin: "asyncpg.Connection[Any]", passwords: Mapping[str, str]) -> None:
    """A login role for each service: `headrace_<service>`."""
    for service in SERVICES:
        await admin.execute(Q["let"], service, passwords[service])
        await admin.execute(Q["role"])


async def schemas(inside: "asyncpg.Connection[Any]") -> None:
    """In the database of this connection: a schema for each service that only its role can see."""
    await inside.execute(Q["close_to_public"])
    for service in SERVICES:
        await inside.execute(Q["let"], service, "")
        await inside.execute(Q["schema"])
