"""Asking every site's broker for its offer, and one of them about it."""

import asyncio
from uuid import UUID, uuid5

import msgspec

from services.gateway.execution.ranking import messages, rank
from services.gateway.execution.worksteps import Placed
from services.gateway.http.request import Call
from shared.bus.many import Answers, ask_many
from shared.contracts import headers as h
from shared.contracts import subjects
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

WITHIN = 2.0
"""Seconds in which a site has to answer."""
ROLL_CALL = 0.25
"""Seconds in which a broker that lives says that it is there: only those are waited for."""
PING = "$SRV.PING.broker"
VERBS = {"ACCEPTED": "accept", "REJECTED": "reject", "CANCELLED": "release"}
"""What a site is asked, by the phase that the user asks for."""
_OFFERSETS = UUID("01a20ec8-0000-7000-8000-000000000001")
"""The namespace of offersets that have an idempotency key."""


class Here(msgspec.Struct, frozen=True):
    """What a broker says to a ping of NATS's micro services: one answer of each process."""

    metadata: dict[str, str] = {}


async def ask_sites(call: Call, request: ExecutionRequest, workstep: UUID | None, within: float = WITHIN) -> OfferSet:
    """All that live answer, or the time is up. What comes later expires by itself.

    Under the same idempotency key it is the same offerset, and a site that has answered that gives the same offer again.
    """
    bus, offerset = call.edge.bus, _offerset(call)
    asked = OfferRequest(offerset, request, within)
    async with (
        ask_many(bus, subjects.OFFER_REQUEST, asked, OfferReply, within=within, headers=call.told()) as answers,
        ask_many(bus, PING, b"", Here, within=within) as pings,
    ):
        await asyncio.sleep(
            ROLL_CALL
        )  # meanwhile the offers come in; later pings count for as long as others are awaited
        await answers.until(lambda found: bool(sites(pings)) and sites(pings) <= {answer.site for answer in found})
        live = sites(pings)
    if answers.errors and not answers.found:
        raise answers.errors[0]
    now = rfc3339(SystemClock().now())
    offers = rank(answer.offer for answer in answers.found if answer.offer is not None)
    said = messages(answers.found, live, now, within)
    return OfferSet(OfferSetMeta(offerset, now, said), "YES" if offers else "NO", offers, workstep)


def _offerset(call: Call) -> UUID:
    if not call.key:
        return uuid7()
    return uuid5(_OFFERSETS, f"{call.told()[h.USER]} {call.key}")


def sites(pings: Answers[Here]) -> set[str]:
    """Those whose brokers live."""
    return {site for here in pings.found if (site := here.metadata.get("site"))}


async def ask_site(call: Call, site: str, verb: str, offer: UUID, *, timeout: float = 30) -> Offer:
    return await call.edge.bus.request(
        subjects.broker(site, verb), OfferRef(offer), Offer, timeout=timeout, headers=call.told()
    )


async def accept(call: Call, placed: Placed, offer: UUID) -> Offer:
    """Accepts one offer of a set, and rejects the others. Of several that are accepted at once the first is.

    A site that refuses it has not begun anything, and another may be accepted; of one that does not answer nobody knows, and it
    stays the one that was chosen until it is cancelled.
    """
    await call.edge.worksteps.choose(placed.offerset, offer)
    try:
        found = await ask_site(call, placed.site, VERBS["ACCEPTED"], offer)
    except HeadraceError as error:
        if not error.retryable:
            await call.edge.worksteps.drop_choice(placed.offerset, offer)
        raise
    await reject_siblings(call, placed.offerset, offer)
    return found


async def reject_siblings(call: Call, offerset: UUID, offer: UUID) -> None:
    """The offers that were not chosen give back what they hold now; one that cannot be told expires."""

    async def reject(sibling: UUID, site: str) -> None:
        try:
            await ask_site(call, site, "reject", sibling, timeout=1)
        except HeadraceError as error:
            log.info("offer.not_rejected", offer=str(sibling), site=site, error=error.message)

    found = await call.edge.worksteps.siblings(offerset, offer)
    await asyncio.gather(*(reject(sibling, site) for sibling, site in found))
