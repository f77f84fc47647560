"""Tokens that an OpenID Connect issuer has signed: whose they are, by the operator's settings.

The signature and the claims are checked by joserfc. Keys come from the issuer's JWKS: kept, and asked for again when a token names
one that is not among them, but not more often than every `PAUSE` seconds, whatever tokens come.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from services.gateway.identity.auth import Identity
from shared.contracts.errors import Unauthenticated, Unavailable
from shared.contracts.identity import is_reserved
from shared.contracts.permissions import ADMIN, ROLES, WORKER
from shared.runtime.clock import Clock
from shared.runtime.log import log

PAUSE: Final = 10.0
"""Seconds between two requests for the issuer's keys."""
KEPT: Final = 3600.0
"""Seconds after which the keys are asked for again, though none is missing: a key that the issuer has withdrawn is not trusted longer."""
STALE: Final = 86_400.0
"""Seconds for which known keys are used while the issuer does not answer."""
SECONDS: Final = 5.0
"""That the issuer has to answer."""
LARGEST: Final = 1024 * 1024
"""Bytes of its answer."""
LEEWAY: Final = 30
"""Seconds by which the issuer's clock may differ from ours."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_MAY_BE_GIVEN: Final = ROLES.keys() - {ADMIN, WORKER}


class OidcSettings(msgspec.Struct, frozen=True, kw_only=True):
    """HEADRACE_OIDC_…; without an issuer none is trusted.

    oidc_issuer        as the claim `iss` has it
    oidc_audience      one that the claim `aud` has to name
    oidc_jwks_url      where its keys are; empty: as its discovery document says
    oidc_user_claim    the claim that is the user's name here
    oidc_groups_claim  the claim with a list of the user's groups
    oidc_roles         who has which role: `role=group`, with commas between them; `*` is everybody. `admin` is given to nobody
    oidc_algorithms    of signatures, with commas between them; only those of key pairs make sense
    """

    oidc_issuer: str = ""
    oidc_audience: str = ""
    oidc_jwks_url: str = ""
    oidc_user_claim: str = "preferred_username"
    oidc_groups_claim: str = "groups"
    oidc_roles: str = "user=*"
    oidc_algorithms: str = "RS256,ES256,EdDSA"


def parse_roles(text: str) -> list[tuple[str, str]]:
    """Pairs of role and group. An unknown role ends the process: nobody should have less, or more, than was meant."""
    pairs = []
    for one in filter(None, (part.strip() for part in text.split(","))):
        role, _, group = (word.strip() for word in one.partition("="))
        if role not in _MAY_BE_GIVEN or not group:
            raise SystemExit(
                f"HEADRACE_OIDC_ROLES: {one!r}: role=group is expected, role: {', '.join(sorted(_MAY_BE_GIVEN))}"
            )
        pairs.append((role, group))
    return pairs


def identity_of(claims: Mapping[str, Any], settings: OidcSettings, roles: list[tuple[str, str]]) -> Identity:
    """The user, the groups and the roles that claims stand for. Unauthenticated if they name nobody who can be a user here."""
    user = claims.get(settings.oidc_user_claim)
    if not isinstance(user, str) or not _NAME.fullmatch(user) or user == ADMIN or is_reserved(user):
        raise Unauthenticated(f"the claim {settings.oidc_user_claim} of this token is not the name of a user here")
    given = claims.get(settings.oidc_groups_claim)
    groups = (
        sorted({one for one in given if isinstance(one, str) and _NAME.fullmatch(one)})
        if isinstance(given, list)
        else []
    )
    held = sorted({role for role, group in roles if group == "*" or group in groups})
    if not held:
        raise Unauthenticated("none of the groups of this token has a role here")
    try:
        expires_at = datetime.fromtimestamp(claims["exp"], UTC)
    except (OverflowError, ValueError, OSError):
        raise Unauthenticated("the end of this token is no time") from None
    return Identity(user, tuple(held), None, tuple(groups), None, expires_at)


@asynccontextmanager
async def open_issuer(
    settings: OidcSettings, clock: Clock, is_disabled: Callable[[str], Awaitable[bool]]
) -> AsyncIterator["Oidc | None"]:
    """The issuer that the settings name, with connections of its own; None if they name none."""
    if not settings.oidc_issuer:
        yield None
        return
    async with httpx.AsyncClient(follow_redirects=False) as http:
        yield Oidc(settings, http, clock, is_disabled)


class Oidc:
    """One issuer. `is_disabled`: whether a user of this name was shut out here."""

    def __init__(
        self,
        settings: OidcSettings,
        http: httpx.AsyncClient,
        clock: Clock,
        is_disabled: Callable[[str], Awaitable[bool]],
    ) -> None:
        if not settings.oidc_audience:
            raise SystemExit(
                "HEADRACE_OIDC_AUDIENCE: needed with HEADRACE_OIDC_ISSUER: tokens for others are not for us"
            )
        self._settings, self._http, self._clock, self._is_disabled = settings, http, clock, is_disabled
        self._roles = parse_roles(settings.oidc_roles)
        self._algorithms = [one.strip() for one in settings.oidc_algorithms.split(",") if one.strip()]
        if shared := [one for one in self._algorithms if one.startswith("HS") or one == "none"]:
            raise SystemExit(
                f"HEADRACE_OIDC_ALGORITHMS: {shared[0]} is not of a key pair: whoever checks it could sign"
            )
        self._keys: KeySet | None = None
        self._asked_at = self._fetched_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def identify(self, token: str) -> Identity:
        """The owner of a token. Unauthenticated if it is not valid here; Unavailable while the issuer's keys cannot be had."""
        try:
            kid = jws.extract_compact(token.encode()).headers().get("kid")
            key = await self._key(kid if isinstance(kid, str) else None)
            claims = jwt.decode(token, key, algorithms=self._algorithms).claims
            self._registry().validate(claims)
        except (JoseError, ValueError, TypeError) as error:
            raise Unauthenticated(f"this token is not valid: {error}") from None
        found = identity_of(claims, self._settings, self._roles)
        if await self._is_disabled(found.user):
            raise Unauthenticated("this user may not use the edge any more")
        return found

    def _registry(self) -> jwt.JWTClaimsRegistry:
        issuer, audience = self._settings.oidc_issuer, self._settings.oidc_audience
        return jwt.JWTClaimsRegistry(
            now=int(self._clock.now().timestamp()),
            leeway=LEEWAY,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
        )

    async def _key(self, kid: str | None) -> Any:
        """The key of this id; the only one, if the token names none. JoseError if there is none."""
        now = self._clock.monotonic()
        if self._keys is None or now - self._fetched_at > KEPT or not self._has(kid):
            await self._fetch()
        if self._keys is None or self._clock.monotonic() - self._fetched_at > STALE:
            raise Unavailable("the keys of the issuer of tokens cannot be had now")
        return self._keys.get_by_kid(kid)

    def _has(self, kid: str | None) -> bool:
        assert self._keys is not None
        return any(kid in (None, key.kid) for key in self._keys.keys)

    async def _fetch(self) -> None:
        async with self._fetching:
            if self._clock.monotonic() - self._asked_at < PAUSE:  # somebody has just asked
                return
            self._asked_at = self._clock.monotonic()
            try:
                async with asyncio.timeout(SECONDS):
                    found = KeySet.import_key_set(await self._json(await self._address()))
            except (
                httpx.HTTPError,
                httpx.InvalidURL,
                TimeoutError,
                JoseError,
                ValueError,
                TypeError,
                KeyError,
            ) as error:
                log.warning("oidc.keys_not_fetched", issuer=self._settings.oidc_issuer, error=repr(error))
                return
            self._keys, self._fetched_at = found, self._clock.monotonic()
            log.info("oidc.keys_fetched", issuer=self._settings.oidc_issuer, keys=len(found.keys))

    async def _address(self) -> str:
        if self._settings.oidc_jwks_url:
            return self._settings.oidc_jwks_url
        document = await self._json(f"{self._settings.oidc_issuer.rstrip('/')}/.well-known/openid-configuration")
        return str(document["jwks_uri"])

    async def _json(self, url: str) -> Any:
        body = bytearray()
        async with self._http.stream("GET", url, timeout=SECONDS) as reply:
            reply.raise_for_status()
            async for piece in reply.aiter_bytes():
                body += piece
                if len(body) > LARGEST:
                    raise ValueError(f"more than {LARGEST} bytes at {url}")
        return msgspec.json.decode(bytes(body))
