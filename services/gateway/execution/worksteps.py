"""Worksteps and offersets: what the gateway keeps of executions. To others than their owner they do not exist."""

from collections.abc import Awaitable
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from shared.contracts.compute import Label
from shared.contracts.errors import Conflict, NotFound
from shared.contracts.execution import ExecutionRequest, OfferSet
from shared.contracts.ids import uuid7
from shared.contracts.paging import Page
from shared.db.pool import translate
from shared.db.sql import load
from shared.runtime.clock import rfc3339
from shared.service.paging import fitting, place_of, token_of

Q = load(__file__, "worksteps.sql")
T = TypeVar("T")


class WorkstepCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request for offers under a name, to be used as often as the owner likes."""

    request: ExecutionRequest
    name: Label = ""


class Workstep(msgspec.Struct, frozen=True):
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
    """`owner` None: whoever's it is. Every call raises Unavailable while the database is away."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool

    async def create(self, owner: str, new: WorkstepCreate) -> Workstep:
        request = msgspec.json.encode(new.request).decode()
        return _workstep(await _translated(self._pool.fetchrow(Q["put_workstep"], uuid7(), owner, new.name, request)))

    async def get(self, workstep: UUID, owner: str | None, field: str = "workstep") -> Workstep:
        row = await _translated(self._pool.fetchrow(Q["workstep"], workstep, owner))
        if row is None:
            raise NotFound(f"there is no workstep {workstep}", field=field)
        return _workstep(row)

    async def page(self, owner: str | None, page: Page) -> WorkstepPage:
        rows = await _translated(self._pool.fetch(Q["worksteps"], owner, place_of(page, UUID), page.size + 1))
        items, more = fitting([_workstep(row) for row in rows], page.size)
        return WorkstepPage(items, token_of(page, items[-1].id) if more else "")

    async def keep(self, owner: str, made: OfferSet) -> None:
        """An offerset as it was answered."""
        ids, sites = [offer.meta.uuid for offer in made.offers], [offer.site for offer in made.offers]
        document = msgspec.json.encode(made).decode()
        await _translated(
            self._pool.execute(Q["put_offerset"], made.meta.uuid, made.workstep, owner, document, ids, sites)
        )

    async def offerset(self, offerset: UUID, owner: str | None) -> OfferSet:
        document = await _translated(self._pool.fetchval(Q["offerset"], offerset, owner))
        if document is None:
            raise NotFound(f"there is no offerset {offerset}", field="offerset")
        return msgspec.json.decode(document, type=OfferSet)

    async def offer(self, offer: UUID, owner: str | None) -> PlacedOffer:
        row = await _translated(self._pool.fetchrow(Q["offer"], offer, owner))
        if row is None:
            raise NotFound(f"there is no session {offer}", field="session")
        return PlacedOffer(offer, row["site"], row["offerset"], row["owner"])

    async def siblings(self, offerset: UUID, offer: UUID) -> list[tuple[UUID, str]]:
        """The other offers of a set, and their sites."""
        return [(row["id"], row["site"]) for row in await _translated(self._pool.fetch(Q["siblings"], offerset, offer))]

    async def choose(self, offerset: UUID, offer: UUID) -> None:
        """Of a set one offer can be accepted: Conflict if it is another."""
        chosen = await _translated(self._pool.fetchval(Q["choose"], offerset, offer))
        if chosen != offer:
            raise Conflict(
                f"offer {offer} cannot become ACCEPTED: {chosen} of the same offerset was, and the others are REJECTED"
            )

    async def drop_choice(self, offerset: UUID, offer: UUID) -> None:
        """It came to nothing: another may be accepted. Harmless if it was not chosen."""
        await _translated(self._pool.execute(Q["drop_choice"], offerset, offer))


def _workstep(row: Any) -> Workstep:
    request = msgspec.json.decode(row["request"], type=ExecutionRequest)
    return Workstep(row["id"], row["owner"], row["name"], request, rfc3339(row["created_at"]))


async def _translated(call: Awaitable[T]) -> T:
    try:
        return await call
    except Exception as error:
        if away := translate(error):
            raise away from error
        raise
