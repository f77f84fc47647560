"""Chains held where a test wants them: to look at what is there, to break something, to kill their service there.

    await stops.set("archival.move_datablocks_to_lts", pid)
    …
    await stops.reached("archival.move_datablocks_to_lts", pid)     # its work is done and does not count yet
    await stops.release("archival.move_datablocks_to_lts", pid)

Places are `<chain>.<step>`, `datablock.<number>.<state>` and `produced.<path>`: triggers in the database, stops.sql. `pid` is the
dataset's, or the id of the session that the scheduler's chain is about.
"""

from itertools import count
from pathlib import Path
from typing import Any, Self

import asyncpg

from tests.support.processes import Processes

SQL = Path(__file__).with_suffix(".sql")


class Stops:
    """`db`: the administrator's connection, which others may use too."""

    def __init__(self, system: Processes, db: "asyncpg.Connection[Any]") -> None:
        self._system, self.db = system, db
        self._numbers = count(1)
        self._places: dict[tuple[str, str], int] = {}

    @classmethod
    async def on(cls, system: Processes) -> Self:
        db = await asyncpg.connect(system.stack.postgres.url("headrace"))
        await db.execute(SQL.read_text())
        return cls(system, db)

    async def close(self) -> None:
        """Nobody is held any more."""
        for place, pid in list(self._places):
            await self.release(place, pid)
        await self.db.execute("DROP SCHEMA stops CASCADE")
        await self.db.close()

    async def set(self, place: str, pid: str) -> None:
        """Who comes there from now on waits."""
        number = self._places[place, pid] = next(self._numbers)
        await self.db.execute("SELECT pg_advisory_lock($1)", number)
        await self.db.execute("INSERT INTO stops.places VALUES ($1, $2, $3)", number, place, pid)

    async def reached(self, place: str, pid: str, timeout: float = 30) -> None:
        """Until somebody waits there."""
        number = self._places[place, pid]
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1::bigint::oid AND NOT granted"

        async def waits() -> bool:
            return bool(await self.db.fetchval(query, number))

        await self._system.wait_until(waits, timeout=timeout, on_timeout=lambda: f"nobody came to {place} of {pid}")

    async def release(self, place: str, pid: str) -> None:
        """Who waits there goes on, and nobody waits there any more."""
        number = self._places.pop((place, pid))
        await self.db.execute("DELETE FROM stops.places WHERE number = $1", number)
        await self.db.execute("SELECT pg_advisory_unlock($1)", number)

    async def killed(self, *services: str) -> None:
        """SIGKILL, and what the services' connections were at is rolled back; then nobody is held any more."""
        for name in services:
            await self._system.kill(name)
        roles = [f"headrace_{name.partition('-')[0]}" for name in services]
        query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = ANY($1)"
        await self.db.fetch(query, roles)
        for place, pid in list(self._places):
            await self.release(place, pid)
