"""Tokens of an OpenID Connect issuer: whose they are, and what is refused; against a real issuer's keys over HTTP."""

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey

from services.gateway.identity import oidc
from services.gateway.identity.oidc import Oidc, OidcSettings, identity_of, parse_roles
from shared.contracts.errors import Unauthenticated, Unavailable
from shared.runtime.clock import SystemClock
from tests.support.oidc_issuer import AUDIENCE, OidcIssuer, serving_issuer

ROLES = "user=*,operator=ops"


class MovedClock(SystemClock):
    """The machine's clock, and some seconds more."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class Rig:
    """`disabled`: users who were shut out here."""

    def __init__(self, issuer: OidcIssuer, http: httpx.AsyncClient, **settings: Any) -> None:
        self.issuer, self.clock = issuer, MovedClock()
        self.disabled: set[str] = set()
        given = {"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE, "oidc_roles": ROLES, **settings}
        self.oidc = Oidc(OidcSettings(**given), http, self.clock, self._is_disabled)

    async def _is_disabled(self, user: str) -> bool:
        return user in self.disabled


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with serving_issuer() as issuer, httpx.AsyncClient(trust_env=False) as http:
        yield Rig(issuer, http)


async def test_user_groups_and_roles_come_from_the_claims(rig: Rig) -> None:
    found = await rig.oidc.identify(rig.issuer.token(groups=["ops", "physics", "No Such Name", 7]))
    assert (found.user, found.groups, found.roles) == ("ada", ("ops", "physics"), ("operator", "user"))
    assert found.expires_at is not None
    assert (await rig.oidc.identify(rig.issuer.token(aud=["other", AUDIENCE]))).roles == ("user",)
    assert rig.issuer.asked == 1
    rig.disabled.add("ada")
    with pytest.raises(Unauthenticated, match="any more"):
        await rig.oidc.identify(rig.issuer.token())


BAD: list[tuple[str, dict[str, Any]]] = [
    ("expired", {"exp": int(time.time()) - 60}),
    ("not yet valid", {"nbf": int(time.time()) + 86_400}),
    ("without an end", {"exp": None}),
    ("an end that is no number", {"exp": "tomorrow"}),
    ("an end that is no time", {"exp": 10**30}),
    ("of another issuer", {"iss": "https://other.example"}),
    ("of no issuer", {"iss": None}),
    ("for others", {"aud": "other"}),
    ("for nobody", {"aud": None}),
    ("of the admin", {"preferred_username": "admin"}),
    ("of a service", {"preferred_username": "scheduler"}),
    ("of a site", {"preferred_username": "broker-site-a"}),
    ("of no name", {"preferred_username": None}),
    ("of a name that is a path", {"preferred_username": "../ada"}),
    ("of a name that is a subject", {"preferred_username": "ada.>"}),
    ("of a list", {"preferred_username": ["ada"]}),
]


@pytest.mark.parametrize("claims", [case[1] for case in BAD], ids=[case[0] for case in BAD])
async def test_claims_that_are_refused(rig: Rig, claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        await rig.oidc.identify(rig.issuer.token(**claims))


def confused(issuer: OidcIssuer) -> str:
    """A token signed by HMAC with the issuer's public key, which everybody has, as the secret."""
    _, body, _ = issuer.token().split(".")
    head = b64(json.dumps({"alg": "HS256", "kid": "first"}).encode())
    secret = next(iter(issuer.keys.values())).as_pem(private=False)
    return f"{head}.{body}.{b64(hmac.digest(secret, f'{head}.{body}'.encode(), 'sha256'))}"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def test_signatures_that_are_refused(rig: Rig) -> None:
    stranger = ECKey.generate_key("P-256", {"kid": "first"})
    good = rig.issuer.token()
    head, body, signature = good.split(".")
    for bad in (
        rig.issuer.unsigned(),
        confused(rig.issuer),
        rig.issuer.token(key=stranger),
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{body[:-2]}.{signature}",
        "a.b.c",
        "..",
        "\ud800.b.c".encode("utf-8", "replace").decode(),
    ):
        with pytest.raises(Unauthenticated):
            await rig.oidc.identify(bad)
    assert (await rig.oidc.identify(good)).user == "ada"


@pytest.mark.parametrize("kid", ["../../etc/passwd", "http://127.0.0.1/keys", "' OR 1=1 --", "x" * 2000, ""])
async def test_an_id_of_a_key_is_compared_and_nothing_else(rig: Rig, kid: str) -> None:
    with pytest.raises(Unauthenticated):
        await rig.oidc.identify(rig.issuer.token(header={"kid": kid, "jku": "http://127.0.0.1:1/keys"}))


async def test_a_new_key_is_found_and_a_flood_of_unknown_ones_asks_seldom(rig: Rig) -> None:
    await rig.oidc.identify(rig.issuer.token())
    old = rig.issuer.token()
    rig.issuer.rotate("second", "RSA")
    rig.clock.ahead += oidc.PAUSE
    assert (await rig.oidc.identify(rig.issuer.token())).user == "ada"
    assert rig.issuer.asked == 2
    for n in range(50):
        with pytest.raises(Unauthenticated):
            await rig.oidc.identify(rig.issuer.token(header={"kid": f"k{n}"}))
    with pytest.raises(Unauthenticated):
        await rig.oidc.identify(old)
    assert rig.issuer.asked == 2


async def test_while_the_issuer_is_away_known_keys_are_used_and_unknown_is_503(rig: Rig) -> None:
    rig.issuer.failing = True
    with pytest.raises(Unavailable):
        await rig.oidc.identify(rig.issuer.token())
    rig.issuer.failing = False
    rig.clock.ahead += oidc.PAUSE
    await rig.oidc.identify(rig.issuer.token())
    rig.issuer.failing = True
    rig.clock.ahead += oidc.KEPT + 1
    assert (await rig.oidc.identify(rig.issuer.token())).user == "ada"
    rig.clock.ahead += oidc.STALE
    with pytest.raises(Unavailable):
        await rig.oidc.identify(rig.issuer.token())


async def test_nobody_without_a_role(rig: Rig) -> None:
    with pytest.raises(Unauthenticated, match="role"):
        identity_of({"preferred_username": "ada", "exp": 1}, OidcSettings(), parse_roles("user=staff"))


@pytest.mark.parametrize("text", ["admin=staff", "king=*", "user", "user=", "worker=*"])
def test_roles_that_cannot_be_given_end_the_process(text: str) -> None:
    with pytest.raises(SystemExit, match="HEADRACE_OIDC_ROLES"):
        parse_roles(text)


@pytest.mark.parametrize(
    "settings", [{"oidc_audience": ""}, {"oidc_algorithms": "RS256,HS256"}, {"oidc_algorithms": "none"}]
)
async def test_settings_that_would_let_anybody_in_end_the_process(settings: dict[str, str]) -> None:
    async with serving_issuer() as issuer, httpx.AsyncClient() as http:
        with pytest.raises(SystemExit, match="HEADRACE_OIDC_"):
            Rig(issuer, http, **settings)
