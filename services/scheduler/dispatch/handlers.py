"""Partitions: only operators make, change and delete them; everybody sees them."""

from typing import Any

import msgspec

from services.scheduler.dispatch import partitions, unplaced
from services.scheduler.dispatch.partition import Partition as PartitionState
from services.scheduler.dispatch.registry import Registry
from services.scheduler.dispatch.unplaced import SHOWN
from services.scheduler.heavy_reads import HeavyReads
from shared.bus import topology
from shared.bus.client import Bus
from shared.contracts import subjects
from shared.contracts.compute import (
    DEFAULT_PARTITION,
    Partition,
    PartitionCreate,
    PartitionName,
    PartitionPage,
    PartitionRef,
    PartitionUpdate,
)
from shared.contracts.endpoints.compute import (
    PARTITION_CREATE,
    PARTITION_DELETE,
    PARTITION_GET,
    PARTITION_LIST,
    PARTITION_UPDATE,
)
from shared.contracts.endpoints.sites import SITE_ENTER, SITE_PARTITION
from shared.contracts.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from shared.contracts.paging import Page
from shared.contracts.states import SessionStatus
from shared.contracts.topology import TASKS, worker_consumer
from shared.db.sql import Db, Row
from shared.service.context import Context
from shared.service.paging import fitting, place_of, token_of
from shared.service.service import Service
from shared.service.unit import Unit


class Partitions:
    """The endpoints of partitions."""

    def __init__(self, bus: Bus, db: Db, registry: Registry, heavy: HeavyReads) -> None:
        self._bus, self._db, self._registry, self._heavy = bus, db, registry, heavy

    def register(self, service: Service) -> None:
        """Registers the handlers."""
        service.on(PARTITION_CREATE, self.create)
        service.on(PARTITION_UPDATE, self.update)
        service.on(PARTITION_DELETE, self.delete)
        service.on(PARTITION_GET, self.get)
        service.on(PARTITION_LIST, self.list)
        service.on(SITE_ENTER, self.enter)
        service.on(SITE_PARTITION, self.of_site)

    async def create(self, unit: Unit, ctx: Context, request: PartitionCreate) -> Partition:
        """Makes it, again if it was deleted; AlreadyExists if there is one of this name with other values."""
        _require_admin(ctx)
        _check(request.reserve, request.max)
        db, values = unit.connection, (request.priority, request.reserve, request.max)
        row = await partitions.lock(db, request.name)
        if row is None:
            await partitions.create(db, request.name, *values)
            row = await partitions.lock(db, request.name)
        if row["deleted_at"] is not None:
            row = await partitions.update(db, request.name, *values)
        elif (row["priority"], row["reserve"], row["max"]) != values:
            raise AlreadyExists(
                f"partition {request.name!r} exists with priority {row['priority']}, reserve {row['reserve']} and "
                f"max {_limit(row['max'])}: update it instead",
                field="name",
            )
        unit.after.append(self._registry.refresh)
        return self._shown(row)

    async def enter(self, unit: Unit, ctx: Context, request: PartitionRef) -> Partition:
        """Makes the partition of the site that asks, again if it was deleted. One that is there stays as it is."""
        _require_own(ctx, request.name)
        row = await partitions.enter(unit.connection, request.name)
        unit.after.append(self._registry.refresh)
        return self._shown(row)

    async def of_site(self, ctx: Context, request: PartitionRef) -> Partition:
        """The partition of the site that asks."""
        _require_own(ctx, request.name)
        return await self.get(ctx, request)

    async def update(self, unit: Unit, ctx: Context, request: PartitionUpdate) -> Partition:
        """Changes what the request names."""
        _require_admin(ctx)
        row = await self._lock(unit, request.name)
        priority = row["priority"] if request.priority is msgspec.UNSET else request.priority
        reserve = row["reserve"] if request.reserve is msgspec.UNSET else request.reserve
        limit = row["max"] if request.max is msgspec.UNSET else request.max
        _check(reserve, limit)
        row = await partitions.update(unit.connection, request.name, priority, reserve, limit)
        unit.after.append(self._registry.refresh)
        return self._shown(row)

    async def delete(self, unit: Unit, ctx: Context, request: PartitionRef) -> Partition:
        """Its workers' consumer is taken away in the transaction: made anew, the partition gets its own afterwards."""
        _require_admin(ctx)
        if request.name == DEFAULT_PARTITION:
            raise Conflict(f"partition {DEFAULT_PARTITION!r} cannot be deleted: sessions that name none use it")
        row = await self._lock(unit, request.name)
        db = unit.connection
        if sessions := await partitions.sessions_using(db, request.name):
            named = ", ".join(f"{one['id']} ({SessionStatus(one['status']).name})" for one in sessions)
            raise Conflict(f"partition {request.name!r} is used by sessions: {named}; close or cancel them first")
        if tasks := await partitions.open_tasks(db, request.name, row["id"]):
            named = ", ".join(map(str, tasks))
            raise Conflict(f"tasks of partition {request.name!r} have not ended: {named}")
        await partitions.delete(db, request.name)
        consumer = worker_consumer(request.name)
        unit.undone.append(lambda: topology.ensure_consumer(self._bus, TASKS.name, consumer))
        await topology.purge(self._bus, TASKS.name, subjects.tasks_of_partition(request.name))
        await topology.drop_consumer(self._bus, TASKS.name, consumer)
        unit.after.append(self._registry.refresh)
        return self._shown(row)

    async def get(self, ctx: Context, request: PartitionRef) -> Partition:
        """One partition, with what is counted in the tables and by its dispatcher."""
        await self._registry.refresh()  # another scheduler may have just made it, or changed it
        known = self._registry.named(request.name)
        if known is None:
            raise _unknown(request.name)
        return (await self._counted(ctx, [known]))[0]

    async def _lock(self, unit: Unit, name: str) -> Row:
        row = await partitions.lock(unit.connection, name)
        if row is None or row["deleted_at"] is not None:
            raise _unknown(name)
        return row

    async def _counted(self, ctx: Context, known: list[PartitionState]) -> list[Partition]:
        by_number = {partition.number: partition for partition in known}
        counts = await partitions.counts(self._db, list(by_number))
        async with self._heavy.place(ctx) as db:  # it may read many tasks
            without_worker = unplaced.without_worker(await unplaced.count_waiting(db, list(by_number)), by_number)
        return [_partition(p, *counts.get(p.number, (0, 0)), without_worker.get(p.number)) for p in known]

    def _shown(self, row: Any) -> Partition:
        """As it is stored; what is counted as far as it is known here."""
        known = self._registry.named(row["name"]) or PartitionState(row["id"], row["name"])
        counted = _partition(known, known.reported_running, 0)
        return msgspec.structs.replace(counted, priority=row["priority"], reserve=row["reserve"], max=row["max"])

    async def list(self, ctx: Context, request: Page) -> PartitionPage:
        """A page of all partitions, by name."""
        await self._registry.refresh()
        after = place_of(request, PartitionName) or ""
        known = sorted((p for p in self._registry if p.name > after), key=lambda p: p.name)
        items, more = fitting(await self._counted(ctx, known[: request.size + 1]), request.size)
        return PartitionPage(items, token_of(request, items[-1].name) if more else "")


def _partition(
    known: PartitionState, running: int, waiting: int, without_worker: dict[str, int] | None = None
) -> Partition:
    unwell = {beat.worker: beat.unwell for beat in known.beats if beat.unwell}
    return Partition(
        known.name,
        len(known.workers),
        known.slots,
        known.counted,
        known.priority,
        known.reserve,
        known.max,
        running,
        waiting,
        sorted(known.functions.offered or ()),
        without_worker or {},
        dict(sorted(unwell.items())[:SHOWN]),
    )


def _require_admin(ctx: Context) -> None:
    if not ctx.is_admin:
        raise Forbidden("only an admin makes, changes and deletes partitions")


def _require_own(ctx: Context, name: str) -> None:
    if name != ctx.site:
        raise Forbidden(f"the site {ctx.site!r} has the partition of its own name, and no other", field="name")


def _check(reserve: int, limit: int | None) -> None:
    if limit is not None and reserve > limit:
        raise Invalid(f"a reserve of {reserve} is more than the most that may run, {limit}", field="reserve")


def _limit(limit: int | None) -> str:
    return "none" if limit is None else str(limit)


def _unknown(name: str) -> NotFound:
    return NotFound(f"there is no partition {name!r}", field="name")
