"""Partitions: only operators make them."""

from services.scheduler import store
from services.scheduler.turns import Turns
from shared.bus.context import Context
from shared.bus.service import Service
from shared.bus.unit import Unit
from shared.contracts.compute import Partition, PartitionCreate, PartitionPage
from shared.contracts.errors import Forbidden
from shared.contracts.paging import Page

Q = store.Q


class Partitions:
    def __init__(self, db: store.Db, turns: Turns) -> None:
        self._db, self._turns = db, turns

    def register(self, service: Service) -> None:
        service.writes("partition", "create", PartitionCreate, self.create, durable=False)
        service.reads("partition", "list", Page, self.list)

    async def create(self, unit: Unit, ctx: Context, request: PartitionCreate) -> Partition:
        if not ctx.is_operator:
            raise Forbidden("only an admin makes partitions")
        await unit.connection.execute(Q["create_partition"], request.name)
        unit.after.append(self._turns.refresh)
        return store.partition_of(request.name, 0, 0, 0)

    async def list(self, ctx: Context, request: Page) -> PartitionPage:
        return PartitionPage([store.partition_of(*seen) for seen in self._turns.seen()])
