"""The advisory locks that say which process dispatches a partition, on a connection of their own.

The locks live as long as the connection: when it is lost they are no longer ours.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg

from shared.db.pool import AWAY
from shared.db.sql import load

Q = load(__file__, "locks.sql")

PATIENCE = 10.0
"""Seconds that a question about the locks may take."""
LEASE = "5s"
"""For how long the database keeps the locks of a process that says nothing: one that is frozen, or cut off. It asks every second."""


async def try_lock(connection: Any, partition: str) -> bool:
    """Takes the advisory lock of a partition, if no other connection has it; true also if this one has it already."""
    return bool(await Q.try_lock.fetchval(connection, partition=partition))


class DispatchLocks:
    """The locks of this process. `on_lost` is called when it has none any more, before it asks for new ones."""

    def __init__(self, database_url: str, on_lost: Callable[[], None]) -> None:
        self._database_url, self._on_lost = database_url, on_lost
        self._connection: Any = None
        self._in_use = asyncio.Lock()

    async def keep(self) -> int:
        """Keeps the connection alive, or opens one; to be called every second. Returns how many were opened."""
        async with self._in_use:
            if self._connection is not None and not await self._is_alive():
                self._connection.terminate()
                self._connection = None
            if self._connection is not None:
                return 0
            self._on_lost()
            self._connection = await asyncpg.connect(
                self._database_url,
                command_timeout=PATIENCE,
                server_settings={"search_path": "scheduler", "idle_session_timeout": LEASE},
            )
            return 1

    async def acquire(self, partition: str) -> bool:
        """Whether this process has the partition's lock, from now on or since before."""
        async with self._in_use:
            return self._connection is not None and await try_lock(self._connection, partition)

    async def close(self) -> None:
        """Gives all locks back."""
        if self._connection is not None:
            await self._connection.close()

    async def _is_alive(self) -> bool:
        """At both ends: a connection that is not may have lost its locks to another process."""
        try:
            return bool(await Q.is_alive.fetchval(self._connection))
        except (*AWAY, asyncpg.PostgresError):
            return False
