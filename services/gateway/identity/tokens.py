"""Users and their tokens, in the gateway's own tables."""

from typing import Any
from uuid import UUID

import asyncpg

from services.gateway.identity.auth import Identity, digest
from shared.contracts.errors import AlreadyExists, NotFound
from shared.contracts.ids import uuid7
from shared.contracts.permissions import ADMIN
from shared.db.pool import translated
from shared.db.sql import load

Q = load(__file__, "tokens.sql")


class Tokens:
    """The tables `users` and `tokens`. Every call raises Unavailable while the database is away."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool

    async def find(self, key: bytes) -> Identity | None:
        """Whose token has this digest; None if it is unknown or revoked."""
        row = await translated(Q.find_token.fetchrow(self._pool, hash=key))
        return Identity(row["name"], tuple(row["roles"]), row["token"]) if row else None

    async def register_admin(self, token: str) -> None:
        """Makes the file's token valid, for the user `admin`, and revokes those that the file had before."""
        await translated(Q.put_user.execute(self._pool, name=ADMIN, roles=[ADMIN]))
        put = Q.put_file_token.execute(self._pool, id=uuid7(), hash=digest(token), user=ADMIN)
        await translated(put)

    async def add(self, user: str, roles: list[str], token: str) -> UUID:
        """A token for a user, who is made if new. AlreadyExists if they are there with other roles."""
        kept = await translated(Q.put_user.fetchval(self._pool, name=user, roles=sorted(roles)))
        if kept != sorted(roles):
            raise AlreadyExists(f"user {user} exists with other roles", field="roles")
        made = uuid7()
        await translated(Q.put_token.execute(self._pool, id=made, hash=digest(token), user=user))
        return made

    async def revoke(self, token: UUID) -> None:
        """NotFound if there is no such token; one that is revoked stays so."""
        if await translated(Q.revoke_token.fetchval(self._pool, id=token)) is None:
            raise NotFound(f"no token {token}", field="token")
