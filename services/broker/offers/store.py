"""The rows of `offers`: read, changed, and made contracts of."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from services.broker.offers.decide import Terms
from services.broker.offers.grant import Grant
from services.broker.offers.machine import MACHINE, options
from shared.contracts.errors import NotFound
from shared.contracts.events import OfferChanged
from shared.contracts.execution import (
    Between,
    Compute,
    EnumOption,
    ExecutionRequest,
    MessageItem,
    Offer,
    Phase,
    SessionMeta,
)
from shared.contracts.ids import uuid7
from shared.db.sql import load
from shared.runtime.clock import rfc3339

Q = load(__file__, "store.sql", (MACHINE,))
Row = Mapping[str, Any]
Db = Any
"""asyncpg's pool or connection."""


async def insert(
    db: Db,
    site: str,
    offerset: UUID,
    owner: str,
    request: ExecutionRequest,
    terms: Terms,
    now: datetime,
    until: datetime,
) -> Row:
    """A new offer, good `until` then."""
    row: Row = await Q.insert.fetchrow(
        db,
        id=uuid7(),
        site=site,
        offerset=offerset,
        owner=owner,
        request=msgspec.json.encode(request).decode(),
        terms=msgspec.json.encode(terms).decode(),
        cores=terms.cores,
        memory=terms.memory,
        now=now,
        expires_at=until,
    )
    return row


async def find(db: Db, site: str, offer: UUID) -> Row:
    """NotFound if the site has no such offer."""
    return _found(await Q.find.fetchrow(db, id=offer, site=site), offer)


async def lock(db: Db, site: str, offer: UUID) -> Row:
    """As `find`; nobody else changes it until the transaction ends."""
    return _found(await Q.lock.fetchrow(db, id=offer, site=site), offer)


def _found(row: Row | None, offer: UUID) -> Row:
    if row is None:
        raise NotFound(f"there is no offer {offer}", field="offer")
    return row


async def of_offerset(db: Db, site: str, offerset: UUID) -> Row | None:
    """What the site has offered in an offerset, if it has."""
    row: Row | None = await Q.of_offerset.fetchrow(db, offerset=offerset, site=site)
    return row


async def move(db: Db, offer: UUID, verb: str, *, holds: bool, messages: str, now: datetime) -> Row:
    """The offer after a verb of the machine. The caller has locked it and checked that the verb is legal.

    `holds`: whether its cores and memory stay taken; `messages`: what is added to its own (see `messages`).
    """
    row: Row = await Q.move.fetchrow(
        db,
        id=offer,
        phase=int(MACHINE.target(verb)),
        sources=MACHINE.sources(verb),
        holds=holds,
        messages=messages,
        now=now,
    )
    return row


async def set_session(db: Db, offer: UUID, session: UUID) -> Row:
    """The offer with its compute session; one that it has already stays."""
    row: Row = await Q.set_session.fetchrow(db, id=offer, session=session)
    return row


async def set_delegation(db: Db, offer: UUID, grant: Grant) -> Row:
    """The offer, with what its site acts with for the owner from now on."""
    row: Row = await Q.set_delegation.fetchrow(db, id=offer, delegation=grant.delegation, ends=grant.ends)
    return row


async def free_capacity(db: Db, offer: UUID) -> None:
    """Its cores and memory may be offered again."""
    await Q.free_capacity.execute(db, id=offer)


async def holding(db: Db, site: str, after: UUID, size: int) -> list[Row]:
    """A page of the site's offers that hold something, in the order of their ids, after one of them."""
    return await Q.holding.fetch(db, site=site, after=after, size=size)


def phase_of(row: Row) -> Phase:
    """The phase of an offer's row."""
    return Phase(row["phase"])


def request_of(row: Row) -> ExecutionRequest:
    """What was asked for."""
    return msgspec.json.decode(row["request"], type=ExecutionRequest)


def offer_of(row: Row) -> Offer:
    """The offer as its owner sees it."""
    request, terms = request_of(row), msgspec.json.decode(row["terms"], type=Terms)
    phase = phase_of(row)
    can = options(phase)
    return Offer(
        meta=SessionMeta(
            row["id"],
            rfc3339(row["created_at"]),
            rfc3339(row["changed_at"]),
            msgspec.json.decode(row["messages"], type=list[MessageItem]),
            [EnumOption("/phase", can)] if can else [],
        ),
        phase=phase.name,
        expires=rfc3339(row["expires_at"]),
        executable=request.executable,
        compute=Compute(Between(terms.cores, terms.cores), Between(terms.memory, terms.memory), request.compute.meta),
        data=request.data,
        schedule=request.schedule,
        site=row["site"],
        partition=row["site"],
        offerset=row["offerset"],
        owner=row["owner"],
        reasons=terms.reasons,
        prepare_seconds=terms.prepare_seconds,
        starts_in_seconds=terms.prepare_seconds,
        cores=terms.cores,
        memory=terms.memory,
        cores_free=terms.cores_free,
        session=row["session"],
        version=row["version"],
    )


def changed(row: Row) -> OfferChanged:
    """The event of an offer as it is now."""
    return OfferChanged(row["id"], row["offerset"], row["site"], phase_of(row).name, row["version"], row["session"])


def messages(text: str, level: str, now: datetime) -> str:
    """What is added to a row's messages; nothing for no text."""
    return msgspec.json.encode([MessageItem(level, rfc3339(now), text)] if text else []).decode()
