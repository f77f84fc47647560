"""A database with a role and a schema for each service. Used by the embedded stack and by the tests' fixtures."""

from collections.abc import Mapping
from typing import Any

import asyncpg

from shared.contracts.subjects import SERVICES
from shared.db.sql import load

Q = load(__file__, "roles.sql")
LOCKS = load(__file__, "locks.sql")


async def create(admin: "asyncpg.Connection[Any]", name: str) -> None:
    """Creates a database if it does not exist."""
    if not await Q.database_exists.fetchval(admin, name=name):
        await admin.execute(await Q.create_database.fetchval(admin, name=name))


async def drop(admin: "asyncpg.Connection[Any]", name: str) -> None:
    """Drops a database and ends the connections to it."""
    await admin.execute(await Q.drop_database.fetchval(admin, name=name))


async def roles(admin: "asyncpg.Connection[Any]", passwords: Mapping[str, str]) -> None:
    """A login role for each service: `headrace_<service>`."""
    for service in SERVICES:
        await Q.let.execute(admin, service=service, password=passwords[service])
        await Q.role.execute(admin)


async def close_to_public(inside: "asyncpg.Connection[Any]") -> None:
    """In the database of this connection: nobody comes in, and nobody makes anything, but who is granted it by `schemas`."""
    await Q.close_to_public.execute(inside)


async def close_templates(admin: "asyncpg.Connection[Any]") -> None:
    """Nobody but superusers comes into the databases that a server has from its start."""
    await Q.close_templates.execute(admin)


async def schemas(inside: "asyncpg.Connection[Any]") -> None:
    """In the database of this connection: a schema for each service that only its role can see, and locks that only it can take."""
    await close_to_public(inside)
    for service in SERVICES:
        await Q.let.execute(inside, service=service, password="")
        await Q.schema.execute(inside)
    await LOCKS.separate_locks.execute(inside)
