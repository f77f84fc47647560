"""Asking every site's broker for its offer, and one of them about it."""

import asyncio
from typing import Final
from uuid import UUID, uuid5

import msgspec

from services.gateway.edge import Edge
from services.gateway.execution.grants import grantee, signed
from services.gateway.execution.ranking import messages, rank
from services.gateway.execution.worksteps import PlacedOffer
from shared.bus.many import Answers, ask_many
from shared.contracts import headers as h
from shared.contracts.endpoints.catalogue import DATASET_LOCATE
from shared.contracts.endpoints.execution import OFFER_ACCEPT, OFFER_GET, OFFER_REJECT, OFFER_RELEASE, OFFER_REQUEST
from shared.contracts.errors import HeadraceError
from shared.contracts.execution import (
    ExecutionRequest,
    Offer,
    OfferRef,
    OfferReply,
    OfferRequest,
    OfferSet,
    OfferSetMeta,
)
from shared.contracts.ids import uuid7
from shared.runtime.clock import SystemClock, rfc3339
from shared.runtime.log import log
from shared.service.ask import ask
from shared.service.context import Context
from shared.service.middleware.identity import headers_of

ANSWER_SECONDS: Final = 2.0
"""Seconds in which a site has to answer."""
ROLL_CALL_SECONDS: Final = 0.25
"""Seconds in which a broker that lives says that it is there: only those are waited for."""
PING: Final = "$SRV.PING.broker"
ENDPOINTS: Final = {"REJECTED": OFFER_REJECT, "CANCELLED": OFFER_RELEASE}
"""What a site is asked, by the phase that the user asks for; ACCEPTED is more than one question."""
_OFFERSETS: Final = UUID("01a20ec8-0000-7000-8000-000000000001")
"""The namespace of offersets that have an idempotency key."""


class BrokerPing(msgspec.Struct, frozen=True):
    """What a broker says to a ping of NATS's micro services: one answer of each process."""

    metadata: dict[str, str] = {}


async def ask_sites(
    edge: Edge,
    context: Context,
    request: ExecutionRequest,
    workstep: UUID | None,
    key: str = "",
    within: float = ANSWER_SECONDS,
) -> OfferSet:
    """The offers of all sites: of all that live, or of those that have answered in `within` seconds. Later ones expire by themselves.

    Under the same idempotency key it is the same offerset, and a site that has answered that gives the same offer again.
    """
    bus = edge.bus
    offerset = uuid5(_OFFERSETS, f"{context.user} {key}") if key else uuid7()
    message = OfferRequest(offerset, request, within)
    headers = headers_of(context, bus.delegations, OFFER_REQUEST.subject)
    # Each site finds out where the data are.
    headers[h.GRANT] = headers_of(context, bus.delegations, DATASET_LOCATE.subject)[h.DELEGATION]
    async with (
        ask_many(bus, OFFER_REQUEST.subject, message, OfferReply, within=within, headers=headers) as answers,
        ask_many(bus, PING, b"", BrokerPing, within=within) as pings,
    ):
        # Meanwhile the offers come in; later pings count for as long as others are awaited.
        await asyncio.sleep(ROLL_CALL_SECONDS)
        await answers.until(lambda found: bool(sites(pings)) and sites(pings) <= {answer.site for answer in found})
        live = sites(pings)
    if answers.errors and not answers.found:
        raise answers.errors[0]
    now = rfc3339(SystemClock().now())
    offers = rank(answer.offer for answer in answers.found if answer.offer is not None)
    reasons = messages(answers.found, live, now, within)
    return OfferSet(OfferSetMeta(offerset, now, reasons), "YES" if offers else "NO", offers, workstep)


def sites(pings: Answers[BrokerPing]) -> set[str]:
    """Those whose brokers live."""
    return {site for ping in pings.found if (site := ping.metadata.get("site"))}


async def current(edge: Edge, context: Context, placed: PlacedOffer) -> Offer:
    """The offer, or the session that it became, as its site knows it now."""
    return await ask(edge.bus, OFFER_GET, OfferRef(placed.id), context, site=placed.site, timeout=10)


async def change(edge: Edge, context: Context, placed: PlacedOffer, phase: str) -> Offer:
    """Rejects an offer, or cancels the session that it became (`ENDPOINTS`): another of its set may be accepted."""
    found = await ask(edge.bus, ENDPOINTS[phase], OfferRef(placed.id), context, site=placed.site, timeout=30)
    await edge.worksteps.drop_choice(placed.offerset, placed.id)
    return found


async def accept(edge: Edge, context: Context, placed: PlacedOffer) -> Offer:
    """Accepts one offer of a set, and rejects the others. Of several that are accepted at once the first is.

    A site that refuses it has not begun anything, and another may be accepted; of one that does not answer nobody knows, and it
    stays the one that was chosen until it is cancelled.
    """
    who = grantee(context, placed.owner)
    await edge.worksteps.choose(placed.offerset, placed.id, msgspec.json.encode(who).decode())
    headers, asked = {h.GRANT: signed(edge.bus.delegations, who, placed)}, OfferRef(placed.id)
    try:
        found = await ask(edge.bus, OFFER_ACCEPT, asked, context, site=placed.site, timeout=30, headers=headers)
    except HeadraceError as error:
        if not error.retryable:
            await edge.worksteps.drop_choice(placed.offerset, placed.id)
        raise
    await _reject_siblings(edge, context, placed)
    return found


async def _reject_siblings(edge: Edge, context: Context, placed: PlacedOffer) -> None:
    """The offers that were not chosen give back what they hold now; one whose site does not answer expires."""

    async def reject(sibling: UUID, site: str) -> None:
        try:
            await ask(edge.bus, OFFER_REJECT, OfferRef(sibling), context, site=site, timeout=1)
        except HeadraceError as error:
            log.info("offer.not_rejected", offer=str(sibling), site=site, error=error.message)

    found = await edge.worksteps.siblings(placed.offerset, placed.id)
    await asyncio.gather(*(reject(sibling, site) for sibling, site in found))
