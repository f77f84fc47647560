"""The storages that a service knows, in its own schema: the first marker seen under a name is the one that is expected from then on."""

from typing import Any
from uuid import UUID

import asyncpg

from shared.db.pool import translated
from shared.db.sql import load
from shared.objects.identity import Record

Q = load(__file__, "known_storages.sql")


def recorder(pool: "asyncpg.Pool[Any]") -> Record:
    """Records identities in `storages`. Unavailable while the database is away: an identity that cannot be compared is not
    believed."""

    async def record(name: str, id: UUID) -> UUID:
        found: UUID = await translated(Q.record.fetchval(pool, name=name, id=id))
        return found

    return record
