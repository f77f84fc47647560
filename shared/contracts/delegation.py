"""For whom a service asks: a signed statement in the header Hr-Delegation, which names the user, the operations and its end.

On the wire: `<payload>.<signature>`, both in base64url without padding; the payload is the Delegation as JSON, the signature
Ed25519 over the payload's bytes (`shared/bus/delegations.py`). Who may sign for what is data: `shared/contracts/asks.py`.
"""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import msgspec

from shared.contracts.permissions import ADMIN

GATEWAY: Final = "gateway"
"""The issuer that knows the users by their tokens, and may sign for all of them."""
SITE_ISSUER: Final = "broker."
"""How the issuer of a site begins; its name follows: `broker.site-a`."""
VALID: Final = 60
"""Seconds for which a delegation of one request is good. A new one is signed when half of that is over."""
GRANTED: Final = 3600
"""Seconds for which what the gateway gives a site for an accepted offer is good. The site asks again when half of that is over."""
CLOCK_SKEW: Final = 30
"""Seconds by which the clocks of two machines may differ."""


class Delegation(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `by` has signed: until `expires`, the bearer asks `operations` for `user`.

    by          the issuer: a service, or `broker.<site>`
    user        for whom; empty: `by` asks for itself
    operations  the subjects of the requests that it is good for; a request is refused for every other one
    expires     seconds since 1970
    roles       the user's, as the issuer knows them
    groups      the user's
    scope       the permissions that the user's token is limited to; None: those of the roles
    site        the site that it was made for, whose broker passes it on; empty: no site
    offer       the accepted offer that it was made for; None: no offer
    """

    by: str
    user: str
    operations: tuple[str, ...]
    expires: int
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    scope: tuple[str, ...] | None = None
    site: str = ""
    offer: UUID | None = None


class Granted(msgspec.Struct, frozen=True):
    """A delegation for a site's broker, as it stands in the header Hr-Delegation."""

    delegation: str


def site_of(issuer: str) -> str:
    """The site whose broker `issuer` is; empty for a service."""
    return issuer.removeprefix(SITE_ISSUER) if issuer.startswith(SITE_ISSUER) else ""


def unlawful(
    one: Delegation, now: float, for_users: Mapping[str, frozenset[str]], for_itself: Mapping[str, frozenset[str]]
) -> str:
    """Why the issuer may not sign this, whoever brings it; empty if it may.

    `for_users`, `for_itself`: by service, the subjects that it may ask for users, and in its own name.
    """
    if one.by == GATEWAY:
        return ""
    service = "broker" if (site := site_of(one.by)) else one.by
    allowed = (for_users if one.user else for_itself).get(service, frozenset())
    if missing := [subject for subject in one.operations if subject not in allowed]:
        return f"{one.by} may not ask {missing[0]} {'for users' if one.user else 'for itself'}"
    if one.site != site or one.offer is not None:
        return f"{one.by} may not sign for a site or an offer"
    if one.user != ADMIN and ADMIN in one.roles:
        return f"{one.by} may not make {one.user or 'itself'} an admin"
    if one.expires > now + VALID + CLOCK_SKEW:
        return f"{one.by} may sign for {VALID} s at most"
    return ""
