"""The requests that a site answers: for offers, which the gateway asks of all sites at once, and about one of its own offers."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

from services.broker.offers import capacity, store
from services.broker.offers.decide import No, Place, decide
from services.broker.offers.grant import accepted
from services.broker.offers.locate import locate
from services.broker.offers.transitions import Offers
from services.broker.sessions.compute import ComputeSessions
from shared.bus.client import Bus
from shared.contracts import headers as h
from shared.contracts.endpoints.execution import (
    OFFER_ACCEPT,
    OFFER_GET,
    OFFER_REJECT,
    OFFER_RELEASE,
    OFFER_REQUEST,
    SITE_PING,
)
from shared.contracts.errors import NotFound
from shared.contracts.execution import ExecutionRequest, Offer, OfferRef, OfferReply, OfferRequest, Site, SitePing
from shared.runtime.clock import Clock
from shared.service.access import owned
from shared.service.context import Context
from shared.service.service import Service
from shared.service.unit import Units

WAITING = 0.4
"""The part of the time for a reply that other services may take: the archiver, and the scheduler that is still making the partition."""


class Handlers:
    """Answers for one site."""

    def __init__(
        self, bus: Bus, units: Units, offers: Offers, compute: ComputeSessions, place: Place, clock: Clock
    ) -> None:
        self._bus, self._units, self._offers, self._compute = bus, units, offers, compute
        self._place, self._clock = place, clock

    def register(self, service: Service) -> None:
        """One of a site's replicas answers a request for offers, and one of each site."""
        site = self._place.name
        service.on(OFFER_REQUEST, self.request, site=site, group=f"broker-{site}")
        service.on(OFFER_ACCEPT, self.accept, seconds=30, site=site)
        service.on(OFFER_REJECT, self.reject, site=site)
        service.on(OFFER_RELEASE, self.release, seconds=30, site=site)
        service.on(OFFER_GET, self.get, site=site)
        service.on(SITE_PING, self.ping, site=site)

    async def request(self, ctx: Context, asked: OfferRequest) -> OfferReply:
        """An offer of the site, or why there is none. The same offerset again gets the same offer."""
        site, request = self._place.name, asked.request
        try:
            async with asyncio.timeout(asked.within * WAITING):
                await self._compute.ready.wait()
        except TimeoutError:
            return OfferReply(site, "NO", reason="its partition is not there yet")
        within = asked.within * WAITING
        data, functions = await asyncio.gather(
            locate(self._bus, ctx.headers.get(h.GRANT, ""), request.data, within), self._functions(request, within)
        )
        async with self._units.begin() as unit:
            db, now = unit.connection, self._clock.now()
            free = await capacity.free(db, self._place, now, lock=True)
            row = await store.of_offerset(db, site, asked.offerset)
            if row is not None:
                row = owned(ctx, row, NotFound(f"there is no offerset {asked.offerset}", field="offerset"))
            if row is None:
                terms = decide(self._place, free, request, data, functions)
                if isinstance(terms, No):
                    return OfferReply(site, "NO", reason=terms.reason)
                row = await capacity.reserve(unit, self._place, ctx.user, asked.offerset, request, terms, now)
        return OfferReply(site, "YES", store.offer_of(row))

    async def _functions(self, request: ExecutionRequest, within: float) -> frozenset[str] | None:
        """Those that the site has now; asked only if the request names one."""
        return frozenset() if request.executable is None else await self._compute.functions(within)

    async def accept(self, ctx: Context, asked: OfferRef) -> Offer:
        """The offer, with the compute session that it has become."""
        row = await self._owned(ctx, asked.offer)
        grant = accepted(self._bus.delegations, ctx.headers.get(h.GRANT, ""), row)
        return store.offer_of(await self._offers.accept(asked.offer, grant))

    async def reject(self, ctx: Context, asked: OfferRef) -> Offer:
        """The offer, rejected."""
        return await self._change(ctx, asked, self._offers.reject)

    async def release(self, ctx: Context, asked: OfferRef) -> Offer:
        """The offer, given back; what runs in its session ends."""
        return await self._change(ctx, asked, self._offers.release)

    async def get(self, ctx: Context, asked: OfferRef) -> Offer:
        """An offer of the asker's."""
        return store.offer_of(await self._owned(ctx, asked.offer))

    async def ping(self, ctx: Context, asked: SitePing) -> Site:
        """What the site is, and what it has free."""
        place, free = self._place, await capacity.free(self._units.pool, self._place, self._clock.now())
        return Site(place.name, place.name, sorted(place.storages), place.cores, free.cores, place.memory, free.memory)

    async def _change(self, ctx: Context, asked: OfferRef, change: Callable[[UUID], Awaitable[store.Row]]) -> Offer:
        await self._owned(ctx, asked.offer)
        return store.offer_of(await change(asked.offer))

    async def _owned(self, ctx: Context, offer: UUID) -> store.Row:
        """To others it does not exist."""
        row = await store.find(self._units.pool, self._place.name, offer)
        return owned(ctx, row, NotFound(f"there is no offer {offer}", field="offer"))
