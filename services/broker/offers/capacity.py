"""The free capacity of a site. It is never overbooked: counting and reserving are one transaction, one at a time for each site."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.broker.offers import store
from services.broker.offers.decide import Free, Place, Terms
from services.broker.offers.machine import MACHINE
from shared.contracts import subjects
from shared.contracts.execution import ExecutionRequest
from shared.contracts.states import name_of
from shared.db.sql import load
from shared.service.unit import Unit

Q = load(__file__, "capacity.sql", (MACHINE,))


async def free(db: Any, place: Place, now: datetime, *, lock: bool = False) -> Free:
    """Cores and memory that no offer holds. With `lock`, nobody else reserves until the transaction has ended."""
    if lock:
        await Q.lock_site.execute(db, site=place.name)
    held = await Q.held.fetchrow(db, site=place.name, now=now)
    return Free(max(0, place.cores - held["cores"]), max(0, place.memory - held["memory"]))


async def reserve(
    unit: Unit, place: Place, owner: str, offerset: UUID, request: ExecutionRequest, terms: Terms, now: datetime
) -> store.Row:
    """Makes the offer, which holds its cores and memory from the commit on; returns its row."""
    until = now + timedelta(seconds=place.hold)
    row = await store.insert(unit.connection, place.name, offerset, owner, request, terms, now, until)
    unit.emit(subjects.event("offer", name_of(store.phase_of(row)), row["id"]), store.changed(row))
    return row
