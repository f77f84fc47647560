"""What compute's statements ask of dispatch: credit for what they make ready, and somebody who publishes what they have chosen."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from services.scheduler.dispatch import unplaced
from services.scheduler.dispatch.credit import Credit
from services.scheduler.dispatch.dispatcher import Dispatcher
from services.scheduler.dispatch.gossip import Gossip
from services.scheduler.dispatch.partition import count_by_partition
from services.scheduler.dispatch.queue import Queue
from services.scheduler.dispatch.registry import Registry
from shared.contracts.compute import Value
from shared.db.sql import Row
from shared.service.unit import Unit


class DispatchPort:
    """`ports.Dispatch`, where each method is described."""

    def __init__(
        self, registry: Registry, gossip: Gossip, credit: Credit, queue: Queue, dispatcher: Dispatcher
    ) -> None:
        self._registry, self._gossip, self._credit = registry, gossip, credit
        self._queue, self._dispatcher = queue, dispatcher

    def rank(self) -> int:
        return 0 if any(partition.dispatched_here for partition in self._registry) else 1

    def of_sites(self) -> Mapping[str, int]:
        return self._registry.of_sites

    def credits(self) -> tuple[list[int], list[int]]:
        return self._credit.columns()

    def hold_credit(self, unit: Unit, counts: Mapping[int, int]) -> bool:
        return self._credit.hold(unit, counts)

    def remember(self, submission: UUID, trace: str, applications: bool) -> None:
        self._queue.remember(submission, trace, applications)

    async def publish(self, rows: Sequence[Row], values: Mapping[UUID, Value]) -> None:
        await self._dispatcher.publish(rows, values)

    async def count_ended(self, counts: Mapping[int, int], durations: Iterable[tuple[int, str, float]] = ()) -> None:
        for number, function, seconds in durations:
            if seconds > 0:  # a worker need not say
                self._queue.durations.record(function, seconds)
                if partition := self._registry.get(number):
                    partition.pace.record(seconds)
                    partition.functions.record_end(function)
        await self._credit.give_back(counts)

    async def set_aside(
        self, unit: Unit, tasks: Sequence[UUID], attempts: Sequence[int], workers: Sequence[str], reasons: Sequence[str]
    ) -> list[Row]:
        rows = await unplaced.set_aside(unit.connection, tasks, attempts, workers, reasons)
        unit.after.append(lambda: self._after_set_aside(rows))
        return rows

    async def _after_set_aside(self, rows: Sequence[Row]) -> None:
        counts = count_by_partition(rows)
        for number in counts:
            if partition := self._registry.get(number):
                partition.functions.has_unplaced = True
        await self._credit.give_back(counts)
        await self._gossip.wake(counts)

    async def wake(self, numbers: Iterable[int] | None = None) -> None:
        await self._gossip.wake(numbers)

    def suspend(self) -> None:
        self._registry.suspend_all()
