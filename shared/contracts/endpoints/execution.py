"""What is asked of the sites' brokers. Each has one broker, or replicas of it that share a queue group."""

from typing import Final

from shared.contracts import execution as x
from shared.contracts import subjects
from shared.contracts.endpoint import Query, Steps
from shared.contracts.permissions import EXECUTION_READ, EXECUTION_WRITE

BROKER: Final = "broker"

OFFER_REQUEST: Final = Steps(
    BROKER,
    "offer",
    "request",
    x.OfferRequest,
    x.OfferReply,
    EXECUTION_WRITE,
    "Asks every site for an offer; each that lives answers yes or no.",
    at=subjects.OFFER_REQUEST,
)
OFFER_ACCEPT: Final = Steps(
    BROKER,
    "offer",
    "accept",
    x.OfferRef,
    x.Offer,
    EXECUTION_WRITE,
    "Accepts an offer: a session is made of it.",
    at=subjects.broker("{site}", "accept"),
)
OFFER_REJECT: Final = Steps(
    BROKER,
    "offer",
    "reject",
    x.OfferRef,
    x.Offer,
    EXECUTION_WRITE,
    "Rejects an offer: what it holds is free again.",
    at=subjects.broker("{site}", "reject"),
)
OFFER_RELEASE: Final = Steps(
    BROKER,
    "offer",
    "release",
    x.OfferRef,
    x.Offer,
    EXECUTION_WRITE,
    "Ends the session that an offer has become.",
    at=subjects.broker("{site}", "release"),
)
OFFER_GET: Final = Query(
    BROKER,
    "offer",
    "get",
    x.OfferRef,
    x.Offer,
    EXECUTION_READ,
    "An offer, or the session that it became, as its site knows it now.",
    at=subjects.broker("{site}", "get"),
)
SITE_PING: Final = Query(
    BROKER, "site", "ping", x.SitePing, x.Site, EXECUTION_READ,
    "What a site is, and what of it is free.", at=subjects.broker("{site}", "ping"),
)  # fmt: skip
