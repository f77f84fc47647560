"""Tokens of users, in the gateway's own tables."""

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from services.gateway.identity.auth import Identity, digest
from shared.contracts.errors import NotFound
from shared.contracts.identity import Token, TokenPage
from shared.contracts.ids import uuid7
from shared.contracts.permissions import ADMIN
from shared.db.pool import translated
from shared.db.sql import Row, load
from shared.runtime.clock import rfc3339, rfc3339_or_none

Q = load(__file__, "tokens.sql")


class Tokens:
    """The table `tokens`. Every call raises Unavailable while the database is away."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool

    async def find(self, key: bytes) -> Identity | None:
        """Whose token has this digest; None if it is unknown, revoked or expired, or its user is disabled."""
        row = await translated(Q.find_token.fetchrow(self._pool, hash=key))
        if row is None:
            return None
        scope = None if row["scope"] is None else tuple(row["scope"])
        return Identity(row["name"], tuple(row["roles"]), row["token"], tuple(row["groups"]), scope, row["expires_at"])

    async def put_file_token(self, token: str) -> None:
        """Makes the admin file's token valid, and revokes those that the file had before. The user `admin` is there."""
        await translated(Q.put_file_token.execute(self._pool, id=uuid7(), hash=digest(token), user=ADMIN))

    async def add(
        self,
        user: str,
        token: str,
        *,
        label: str = "",
        scope: tuple[str, ...] | None = None,
        expires_at: datetime | None = None,
    ) -> UUID:
        """A further token of a user. NotFound if there is no such user."""
        made, limits = uuid7(), None if scope is None else sorted(set(scope))
        put = Q.put_token.execute(
            self._pool, id=made, hash=digest(token), user=user, label=label, scope=limits, expires_at=expires_at
        )
        try:
            await translated(put)
        except asyncpg.ForeignKeyViolationError:
            raise NotFound(f"there is no user {user}", field="user") from None
        return made

    async def revoke(self, token: UUID, user: str | None = None) -> None:
        """NotFound if there is no such token, or it is not `user`'s if one is given; one that is revoked stays so."""
        if await translated(Q.revoke_token.fetchval(self._pool, id=token, user=user)) is None:
            raise NotFound("there is no such token", field="token")

    async def page(self, user: str | None, before: UUID | None, size: int) -> TokenPage:
        """Valid tokens, newest first; of all users if none is given."""
        rows = await translated(Q.page.fetch(self._pool, user=user, before=before, size=size + 1))
        more = str(rows[size - 1]["id"]) if len(rows) > size else ""
        return TokenPage([_shown(row) for row in rows[:size]], more)


def _shown(row: Row) -> Token:
    scope = None if row["scope"] is None else list(row["scope"])
    created, expires = rfc3339(row["created_at"]), rfc3339_or_none(row["expires_at"])
    return Token(row["id"], row["user_name"], row["label"], scope, created, expires)
