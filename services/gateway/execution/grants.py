"""What the gateway gives a site's broker to act with for the owner of an accepted offer: a delegation for just that user, site,
offer, and what a site asks about the session that the offer has become. It is good for an hour, and is given anew to that site."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from services.gateway.execution.worksteps import PlacedOffer, Worksteps
from shared.bus.delegations import Delegations
from shared.contracts.asks import AT_OFFER
from shared.contracts.delegation import GATEWAY, GRANTED, Delegation, Granted
from shared.contracts.endpoints.compute import SESSION_CLOSE, SESSION_GET
from shared.contracts.errors import NotFound
from shared.contracts.execution import OfferRef
from shared.service.context import Context, assumed_roles

OPERATIONS: Final = tuple(one.subject for one in AT_OFFER)
ENDING: Final = tuple(one.subject for one in (SESSION_GET, SESSION_CLOSE))
"""What a site needs to give back what the offer holds, whatever has become of its owner."""
FindUser = Callable[[str], Awaitable[Mapping[str, Any] | None]]
"""The row of a user (`roles`, `disabled_at`), or None."""


class Grantee(msgspec.Struct, frozen=True):
    """For whom a site may act, as the gateway knew the user when the offer was accepted."""

    user: str
    roles: tuple[str, ...]
    groups: tuple[str, ...] = ()
    scope: tuple[str, ...] | None = None


def grantee(context: Context, owner: str) -> Grantee:
    """The owner of the offer, with what is known of the owner when `context` accepts it: the admin may accept another's."""
    if context.user != owner:
        return Grantee(owner, assumed_roles(owner))
    return Grantee(owner, context.roles, context.groups, context.scope)


def operations(who: Grantee, user: Mapping[str, Any] | None) -> tuple[str, ...]:
    """What a site may still do for the owner. `user`: the owner's row as it is now.

    Nothing new for who is gone, disabled, or has lost one of the roles with which the offer was accepted.
    """
    able = user is not None and user["disabled_at"] is None and set(who.roles) <= set(user["roles"])
    return OPERATIONS if able else ENDING


def signed(delegations: Delegations, who: Grantee, placed: PlacedOffer, allowed: tuple[str, ...] = OPERATIONS) -> str:
    """The delegation for the broker of the offer's site. `allowed`: the subjects that it is good for."""
    expires = int(time.time()) + GRANTED
    known = (who.roles, who.groups, who.scope)
    return delegations.sign(Delegation(GATEWAY, who.user, allowed, expires, *known, placed.site, placed.id))


class Grants:
    """Answers sites that go on with an offer."""

    def __init__(self, delegations: Delegations, worksteps: Worksteps, find_user: FindUser) -> None:
        self._delegations, self._worksteps, self._find_user = delegations, worksteps, find_user

    async def renew(self, ctx: Context, asked: OfferRef) -> Granted:
        """NotFound unless the offer is one of the site that asks, and was accepted."""
        found = await self._worksteps.granted(asked.offer, ctx.site)
        if found is None:
            raise NotFound(f"there is no offer {asked.offer}", field="offer")
        placed, who = found[0], msgspec.json.decode(found[1], type=Grantee)
        allowed = operations(who, await self._find_user(who.user))
        return Granted(signed(self._delegations, who, placed, allowed))
