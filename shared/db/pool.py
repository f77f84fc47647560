"""Connections: a pool whose connections see the service's own schema and nothing else."""

from collections.abc import Awaitable
from typing import Any, TypeVar

import asyncpg

from shared.contracts.errors import HeadraceError, Unavailable
from shared.runtime.log import log
from shared.runtime.startup import address, connect_patiently

T = TypeVar("T")

Pool = asyncpg.Pool
Connection = asyncpg.Connection

AWAY = (
    OSError,
    TimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.ConnectionFailureError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DiskFullError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what is left of a connection that the server has closed in the middle of something
)
"""What asyncpg raises when the server is away or full, or the connection is lost: try again, nothing is known to be committed."""

ACCESS_DENIED = (
    asyncpg.InvalidPasswordError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)
"""At start the roles and the database may come later than we do."""

RETRYABLE = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)
"""The transaction was rolled back and may simply run again."""


async def _keep(connection: Any) -> None:
    """In place of asyncpg's reset, a round trip at every release: our connections carry nothing from one use to the next.

    Settings are made `LOCAL`, advisory locks are of the transaction or given back by who took them.
    """


async def open_pool(
    url: str, schema: str, *, min_size: int = 1, max_size: int = 8, settings: dict[str, str] | None = None
) -> "asyncpg.Pool[Any]":
    """A pool on `url` with `schema` as its search path. Waits for a server that is not up yet; StartFailed after two minutes."""

    async def connect() -> "asyncpg.Pool[Any]":
        return await asyncpg.create_pool(
            url,
            min_size=min_size,
            max_size=max_size,
            timeout=10,
            command_timeout=60,
            max_inactive_connection_lifetime=0,  # what a connection has prepared is worth keeping
            reset=_keep,
            server_settings={"search_path": schema, "application_name": f"headrace-{schema}", **(settings or {})},
        )

    pool = await connect_patiently("PostgreSQL", url, connect, on=(*AWAY, *ACCESS_DENIED), schema=schema)
    log.debug("db.connected", address=address(url), schema=schema)
    return pool


async def ping(pool: "asyncpg.Pool[Any]") -> str:
    """`ok`, or what is wrong: for health checks."""
    try:
        await pool.fetchval("SELECT 1", timeout=2)
    except Exception as error:
        return repr(error)
    return "ok"


def translate(error: Exception) -> HeadraceError | None:
    """The error that a caller should see for one of asyncpg's; None: not one that a caller can do anything about."""
    if isinstance(error, asyncpg.DiskFullError):
        return Unavailable("the database's disk is full; try again when there is room")
    if isinstance(error, (*AWAY, *RETRYABLE)):
        return Unavailable("the database is away; try again")
    return None


async def translated(call: Awaitable[T]) -> T:
    """What the database answers. Raises Unavailable while it is away, or its disk is full."""
    try:
        return await call
    except Exception as error:
        if away := translate(error):
            raise away from error
        raise
