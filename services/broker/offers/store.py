"""Rows of `offers`, as contracts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from services.broker.offers.decide import Terms
from services.broker.offers.machine import options
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
from shared.db.sql import load
from shared.runtime.clock import rfc3339

Q = load(__file__)
Row = Mapping[str, Any]
Db = Any
"""asyncpg's pool or connection."""


async def find(db: Db, site: str, offer: UUID, query: str = "get") -> Row:
    """`query`: `get`, or `lock` to change it in this transaction."""
    row: Row | None = await db.fetchrow(Q[query], offer, site)
    if row is None:
        raise NotFound(f"there is no offer {offer}", field="offer")
    return row


def phase_of(row: Row) -> Phase:
    return Phase(row["phase"])


def request_of(row: Row) -> ExecutionRequest:
    return msgspec.json.decode(row["request"], type=ExecutionRequest)


def offer_of(row: Row) -> Offer:
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
    return OfferChanged(row["id"], row["offerset"], row["site"], phase_of(row).name, row["version"], row["session"])


def messages(text: str, level: str, now: datetime) -> str:
    """What is added to a row's messages; nothing for no text."""
    return msgspec.json.encode([MessageItem(level, rfc3339(now), text)] if text else []).decode()
