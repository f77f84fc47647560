"""Users and tokens: the gateway's own tables."""

from typing import Any
from uuid import UUID

import asyncpg

from services.gateway.identity.auth import Identity, digest
from shared.contracts.errors import AlreadyExists, NotFound
from shared.contracts.ids import uuid7
from shared.contracts.permissions import ADMIN
from shared.db.pool import translate
from shared.db.sql import load

Q = load(__file__)


class Store:
    """Every call raises Unavailable while the database is away."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self.pool = pool

    async def find(self, key: bytes) -> Identity | None:
        row = await self._row("find_token", key)
        return Identity(row["name"], tuple(row["roles"]), row["token"]) if row else None

    async def register_admin(self, token: str) -> None:
        """Makes the file's token valid, for the user `admin`, and revokes those that the file had before."""
        await self._row("put_user", ADMIN, [ADMIN])
        await self._row("put_file_token", uuid7(), digest(token), ADMIN)

    async def add_token(self, user: str, roles: list[str], token: str) -> UUID:
        """A token for a user, who is made if new. AlreadyExists if they are there with other roles."""
        row = await self._row("put_user", user, sorted(roles))
        if row is None or row["roles"] != sorted(roles):
            raise AlreadyExists(f"user {user} exists with other roles", field="roles")
        made = uuid7()
        await self._row("put_token", made, digest(token), user)
        return made

    async def revoke(self, token: UUID) -> None:
        if await self._row("revoke_token", token) is None:
            raise NotFound(f"no token {token}", field="token")

    async def _row(self, query: str, *values: Any) -> Any:
        try:
            return await self.pool.fetchrow(Q[query], *values)
        except Exception as error:
            if away := translate(error):
                raise away from error
            raise
