"""What the gateway gives a site's broker to act with for the owner of an accepted offer: a delegation for just that user, site,
offer, and what a site asks about the session that the offer has become. It is good for an hour, and is given anew to that site."""

import time
from typing import Final

import msgspec

from services.gateway.execution.worksteps import PlacedOffer, Worksteps
from shared.bus.delegations import Delegations
from shared.contracts.asks import AT_OFFER
from shared.contracts.delegation import GATEWAY, GRANTED, Delegation, Granted
from shared.contracts.errors import NotFound
from shared.contracts.execution import OfferRef
from shared.service.context import Context, assumed_roles

OPERATIONS: Final = tuple(one.subject for one in AT_OFFER)


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


def signed(delegations: Delegations, who: Grantee, placed: PlacedOffer) -> str:
    """The delegation for the broker of the offer's site."""
    expires = int(time.time()) + GRANTED
    known = (who.roles, who.groups, who.scope)
    return delegations.sign(Delegation(GATEWAY, who.user, OPERATIONS, expires, *known, placed.site, placed.id))


class Grants:
    """Answers sites that go on with an offer."""

    def __init__(self, delegations: Delegations, worksteps: Worksteps) -> None:
        self._delegations, self._worksteps = delegations, worksteps

    async def renew(self, ctx: Context, asked: OfferRef) -> Granted:
        """NotFound unless the offer is one of the site that asks, and was accepted."""
        found = await self._worksteps.granted(asked.offer, ctx.site)
        if found is None:
            raise NotFound(f"there is no offer {asked.offer}", field="offer")
        placed, who = found
        return Granted(signed(self._delegations, msgspec.json.decode(who, type=Grantee), placed))
