"""Worksteps and offersets: what the gateway keeps of executions. To others than their owner they do not exist."""

from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from shared.contracts.compute import Label
from shared.contracts.errors import Conflict, NotFound
from shared.contracts.execution import ExecutionRequest, OfferSet
from shared.contracts.ids import uuid7
from shared.contracts.paging import Page
from shared.db.pool import translated
from shared.db.sql import load
from shared.runtime.clock import rfc3339
from shared.service.paging import fitting, place_of, token_of

Q = load(__file__, "worksteps.sql")


class WorkstepCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request for offers under a name, to be used as often as the owner likes."""

    request: ExecutionRequest
    name: Label = ""


class Workstep(msgspec.Struct, frozen=True):
    """A stored request for offers. `created_at`: RFC 3339."""

    id: UUID
    owner: str
    name: str
    request: ExecutionRequest
    created_at: str


class WorkstepPage(msgspec.Struct, frozen=True):
    """Newest first."""

    items: list[Workstep]
    next: str = ""


class PlacedOffer(msgspec.Struct, frozen=True):
    """Where an offer is, and whose."""

    id: UUID
    site: str
    offerset: UUID
    owner: str


class Worksteps:
    """The tables of worksteps, offersets and offers. `owner` None: whoever's it is.

    Every call raises Unavailable while the database is away.
    """

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool

    async def create(self, owner: str, new: WorkstepCreate) -> Workstep:
        """Stores a workstep."""
        request = msgspec.json.encode(new.request).decode()
        put = Q.put_workstep.fetchrow(self._pool, id=uuid7(), owner=owner, name=new.name, request=request)
        return _workstep(await translated(put))

    async def get(self, workstep: UUID, owner: str | None, field: str = "workstep") -> Workstep:
        """NotFound, naming `field`, if there is none that the owner has."""
        row = await translated(Q.workstep.fetchrow(self._pool, id=workstep, owner=owner))
        if row is None:
            raise NotFound(f"there is no workstep {workstep}", field=field)
        return _workstep(row)

    async def page(self, owner: str | None, page: Page) -> WorkstepPage:
        """Worksteps, newest first; a page may hold fewer than were asked for, so that it is not too large."""
        before = place_of(page, UUID)
        rows = await translated(Q.worksteps.fetch(self._pool, owner=owner, before=before, size=page.size + 1))
        items, more = fitting([_workstep(row) for row in rows], page.size)
        return WorkstepPage(items, token_of(page, items[-1].id) if more else "")

    async def keep(self, owner: str, made: OfferSet) -> None:
        """Stores an offerset as it was answered."""
        put = Q.put_offerset.execute(
            self._pool,
            id=made.meta.uuid,
            workstep=made.workstep,
            owner=owner,
            document=msgspec.json.encode(made).decode(),
            offers=[offer.meta.uuid for offer in made.offers],
            sites=[offer.site for offer in made.offers],
        )
        await translated(put)

    async def offerset(self, offerset: UUID, owner: str | None) -> OfferSet:
        """An offerset as it was answered. NotFound if there is none that the owner has."""
        document = await translated(Q.offerset.fetchval(self._pool, id=offerset, owner=owner))
        if document is None:
            raise NotFound(f"there is no offerset {offerset}", field="offerset")
        return msgspec.json.decode(document, type=OfferSet)

    async def offer(self, offer: UUID, owner: str | None) -> PlacedOffer:
        """Where an offer is. NotFound if there is none that the owner has."""
        row = await translated(Q.offer.fetchrow(self._pool, id=offer, owner=owner))
        if row is None:
            raise NotFound(f"there is no session {offer}", field="session")
        return PlacedOffer(offer, row["site"], row["offerset"], row["owner"])

    async def siblings(self, offerset: UUID, offer: UUID) -> list[tuple[UUID, str]]:
        """The other offers of a set, and their sites."""
        rows = await translated(Q.siblings.fetch(self._pool, offerset=offerset, offer=offer))
        return [(row["id"], row["site"]) for row in rows]

    async def choose(self, offerset: UUID, offer: UUID, grantee: str) -> None:
        """Marks the offer of a set that is accepted; Conflict if another one is already.

        `grantee`: for whom its site may act from now on, as JSON.
        """
        chosen = await translated(Q.choose.fetchval(self._pool, offerset=offerset, offer=offer, grantee=grantee))
        if chosen != offer:
            raise Conflict(
                f"offer {offer} cannot become ACCEPTED: {chosen} of the same offerset was, and the others are REJECTED"
            )

    async def granted(self, offer: UUID, site: str) -> tuple[PlacedOffer, str] | None:
        """An accepted offer of the site, and for whom the site may act; None if it is no such offer."""
        row = await translated(Q.granted.fetchrow(self._pool, id=offer, site=site))
        return None if row is None else (PlacedOffer(offer, site, row["offerset"], row["owner"]), row["grantee"])

    async def drop_choice(self, offerset: UUID, offer: UUID) -> None:
        """It came to nothing: another may be accepted. Harmless if it was not chosen."""
        await translated(Q.drop_choice.execute(self._pool, offerset=offerset, offer=offer))


def _workstep(row: Any) -> Workstep:
    request = msgspec.json.decode(row["request"], type=ExecutionRequest)
    return Workstep(row["id"], row["owner"], row["name"], request, rfc3339(row["created_at"]))
