"""What a site acts with for the owner of an accepted offer: a delegation that the gateway gives it, and gives anew."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from shared.bus.client import Bus
from shared.bus.delegations import Delegations
from shared.contracts import headers as h
from shared.contracts.delegation import GRANTED
from shared.contracts.endpoints.sites import SITE_GRANT
from shared.contracts.errors import Invalid
from shared.contracts.execution import OfferRef
from shared.service.ask import ask

Row = Mapping[str, Any]


class Grant(msgspec.Struct, frozen=True):
    """`delegation`: as it stands in a header; it is good until `ends`."""

    delegation: str
    ends: datetime


def accepted(delegations: Delegations, delegation: str, row: Row) -> Grant:
    """The grant that came with the acceptance of an offer.

    Invalid if it is for another user, site or offer than the row's; Unauthenticated if it is not good at all.
    """
    one = delegations.read(delegation)
    if (one.user, one.site, one.offer) != (row["owner"], row["site"], row["id"]):
        raise Invalid(f"not a delegation of {row['owner']} for offer {row['id']} at {row['site']}", field=h.GRANT)
    return Grant(delegation, datetime.fromtimestamp(one.expires, UTC))


def is_due(ends: datetime | None, now: datetime) -> bool:
    """Whether a grant is to be renewed: half of its time is over."""
    return ends is None or ends - now < timedelta(seconds=GRANTED / 2)


async def renewed(bus: Bus, row: Row) -> Grant:
    """A fresh one for an accepted offer."""
    found = await ask(bus, SITE_GRANT, OfferRef(row["id"]))
    return accepted(bus.delegations, found.delegation, row)
