"""Which storages a service knows, in its own schema: the first marker seen under a name is the one that counts from then on."""

from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg

from shared.db.pool import translated
from shared.db.sql import load
from shared.objects.identity import Record

MIGRATIONS: Final = Path(__file__).with_name("migrations")
Q = load(__file__, "known_storages.sql")


def recorder(pool: "asyncpg.Pool[Any]") -> Record:
    """Records identities in `storages`. Unavailable while the database is away: an identity that cannot be compared is not
    believed."""

    async def record(name: str, id: UUID) -> UUID:
        found: UUID = await translated(pool.fetchval(Q["record"], name, id))
        return found

    return record
