"""What a site has left. Never overbooked: counting and reserving are one transaction, one at a time for each site."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from services.broker.offers import store
from services.broker.offers.decide import Free, Place, Terms
from services.broker.offers.machine import MACHINE
from shared.contracts import ids, subjects
from shared.contracts.execution import ExecutionRequest, Phase
from shared.contracts.states import name_of
from shared.service.unit import Unit

Q = store.Q


async def free(db: Any, place: Place, now: datetime, *, lock: bool = False) -> Free:
    """What no offer holds; with `lock`, nobody else reserves until the transaction has ended."""
    if lock:
        await db.execute(Q["lock_site"], place.name)
    held = await db.fetchrow(Q["held"], place.name, now)
    return Free(max(0, place.cores - held["cores"]), max(0, place.memory - held["memory"]))


async def reserve(
    unit: Unit, place: Place, owner: str, offerset: UUID, request: ExecutionRequest, terms: Terms, now: datetime
) -> store.Row:
    """The offer's row, which holds its cores and memory from the commit on."""
    phase = MACHINE.check("offer", Phase.INITIAL)
    row: store.Row = await unit.connection.fetchrow(
        Q["offer"],
        ids.uuid7(),
        place.name,
        offerset,
        owner,
        int(phase),
        msgspec.json.encode(request).decode(),
        msgspec.json.encode(terms).decode(),
        terms.cores,
        terms.memory,
        now,
        now + timedelta(seconds=place.hold),
    )
    unit.emit(subjects.event("offer", name_of(phase), row["id"]), store.changed(row))
    return row
