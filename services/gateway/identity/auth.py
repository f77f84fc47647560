"""Who asks: a token names a user and roles, and roles give permissions (`shared/contracts/permissions.py`).

A token is never stored or compared as it is: its SHA-256 is looked up, so that neither the table nor a comparison's timing
reveals it. Which sessions a user may see is another question: the owner's, and the scheduler's to check.
"""

import asyncio
import contextlib
import hashlib
import secrets
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from shared.contracts.errors import Unauthenticated, Unavailable
from shared.runtime.clock import Clock
from shared.service.context import Context

FRESH = 5.0
"""Seconds for which a token is believed without asking the table again: how late a revocation counts whose event was lost."""
STALE = 120.0
"""Seconds for which it is believed while the database is away: nobody can revoke it meanwhile."""
MOST_KEPT = 10_000
"""Tokens that are kept in memory at most."""


class Identity(msgspec.Struct, frozen=True):
    """The owner of a token.

    token       its id; None: it is not one of ours, but the OIDC issuer's
    groups      that the user is in
    scope       the permissions that the token is limited to; None: those of the roles
    expires_at  None: never
    """

    user: str
    roles: tuple[str, ...]
    token: UUID | None = None
    groups: tuple[str, ...] = ()
    scope: tuple[str, ...] | None = None
    expires_at: datetime | None = None


class TokenStore(Protocol):
    """Where tokens are looked up."""

    async def find(self, digest: bytes) -> Identity | None:
        """Whose token has this digest; None if it is unknown, revoked or expired; Unavailable without a database."""
        ...


class Issuer(Protocol):
    """Who else than we issues tokens."""

    async def identify(self, token: str) -> Identity:
        """The owner of a token. Unauthenticated if it is not valid, Unavailable if that cannot be known now."""
        ...


def new_token() -> str:
    """A token that nobody can guess."""
    return f"hr_{secrets.token_urlsafe(32)}"


def digest(token: str) -> bytes:
    """What of a token is stored: its SHA-256."""
    return hashlib.sha256(token.encode()).digest()


def bearer(authorization: str | None) -> str:
    """The token of an Authorization header."""
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > 8192:
        raise Unauthenticated("a header `Authorization: Bearer <token>` is needed")
    return token


class Auth:
    """Knows the callers by their tokens; answers from memory for `FRESH` seconds."""

    def __init__(self, store: TokenStore, clock: Clock, issuer: Issuer | None = None) -> None:
        self._store, self._clock, self._issuer = store, clock, issuer
        self._known: dict[bytes, tuple[float, Identity]] = {}
        self._revocation = asyncio.Event()

    async def context(self, authorization: str | None, trace: str = "") -> Context:
        """The caller of an HTTP request. Unauthenticated without a token that is valid."""
        caller = await self.identify(authorization)
        return Context(caller.user, caller.groups, caller.roles, caller.scope, via="http", trace=trace)

    async def identify(self, authorization: str | None) -> Identity:
        """The owner of the token in an Authorization header. Unauthenticated if there is none."""
        token = bearer(authorization)
        key = digest(token)
        now = self._clock.monotonic()
        kept = self._known.get(key)
        if kept and self._has_expired(kept[1]):
            del self._known[key]
            kept = None
        if kept and now - kept[0] < FRESH:
            return kept[1]
        try:
            found = await self._find(token, key)
        except Unavailable:
            if kept and now - kept[0] < STALE:
                return kept[1]
            raise
        self._known.pop(key, None)
        if found is None:
            raise Unauthenticated("this token is unknown, revoked or expired")
        if len(self._known) >= MOST_KEPT:
            self._known.clear()
        self._known[key] = (now, found)
        return found

    async def _find(self, token: str, key: bytes) -> Identity | None:
        if self._issuer is not None and token.count(".") == 2:  # a signed token has three parts; ours have one
            return await self._issuer.identify(token)
        return await self._store.find(key)

    def _has_expired(self, known: Identity) -> bool:
        return known.expires_at is not None and known.expires_at <= self._clock.now()

    async def until_revoked(self, authorization: str | None) -> None:
        """Returns when the token is no longer valid: at once if it is revoked, within 2 × `FRESH` s if the event was lost."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FRESH):
                    await self._revocation.wait()
            try:
                await self.identify(authorization)
            except Unauthenticated:
                return
            except Unavailable:
                continue

    def forget(self) -> None:
        """A token was revoked, or a user changed, here or at another gateway: believe nothing from memory, and let those who wait look."""
        self._known.clear()
        revocation, self._revocation = self._revocation, asyncio.Event()
        revocation.set()
