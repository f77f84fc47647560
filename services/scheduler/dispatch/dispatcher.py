"""The dispatcher: chooses ready tasks and puts them into the queue, as many as there is credit for.

What waits is in the tables; the queue holds a window of about `pace.AHEAD` seconds of what a partition's workers can do. So a small
session submitted behind a million tasks starts at once, a pause takes back little, and priority means something. One process
dispatches a partition at a time, under an advisory lock (`recovery`). The reasons: docs/adr/0006-turns.md.
"""

import time
from collections.abc import Mapping, Sequence
from uuid import UUID

from services.scheduler.dispatch.due import Due
from services.scheduler.dispatch.functions import TICK
from services.scheduler.dispatch.partition import Partition
from services.scheduler.dispatch.placement import Placement
from services.scheduler.dispatch.queue import Queue
from services.scheduler.dispatch.ready import ReadyTasks
from services.scheduler.dispatch.registry import Registry
from services.scheduler.dispatch.share import Lane
from shared.contracts.compute import Value
from shared.db.sql import Row
from shared.runtime.log import log

IDLE = 0.5
"""Seconds after which every partition is looked at, though nothing is known to have happened there."""
LANES = 256
"""Sessions looked at in one round, the most urgent first, with a few submissions of each."""


class Dispatcher:
    """The dispatcher of this process."""

    def __init__(self, registry: Registry, due: Due, ready: ReadyTasks, placement: Placement, queue: Queue) -> None:
        self._registry, self._due, self._ready, self._placement, self._queue = registry, due, ready, placement, queue

    async def run(self) -> None:
        """Dispatches until cancelled: what is due at once, every partition each `IDLE` seconds, and each `TICK` seconds those
        where tasks that were set aside may be placed."""
        last_full_look = -IDLE
        while True:
            soon = [partition.number for partition in self._registry if partition.places_soon]
            woken = await self._due.wait(TICK if soon else IDLE)
            numbers = self._due.take() if woken else self._due.take().union(soon)
            if (now := time.monotonic()) - last_full_look >= IDLE:
                last_full_look = now
                numbers.update(partition.number for partition in self._registry)
            for partition in self._registry:
                if partition.number in numbers:
                    await self.dispatch(partition)

    async def dispatch(self, partition: Partition) -> None:
        """Rounds until the credit is used up or nothing waits. An error suspends the partition."""
        try:
            while partition.credit > 0 and await self.round(partition):
                pass
        except Exception as error:
            self._suspend(partition, error)

    async def round(self, partition: Partition) -> int:
        """Shares the credit once. Returns how many tasks were published; none: it is others' turn, and `places_soon` says when next."""
        await self._placement.place(partition)
        credit, number = partition.credit, partition.number
        in_lanes = await self._ready.lanes(number, LANES, partition.functions.open)
        released = await self._ready.released(number, LANES)
        lanes = [Lane(row["priority"], row["session"], credit, None, row["owner"]) for row in released]
        lanes += [
            Lane(row["priority"], row["session"], row["upto"] - row["cursor"], row, row["owner"]) for row in in_lanes
        ]
        if not lanes:
            partition.window_full = False
            return 0
        published = 0
        for lane, count in partition.share.share(credit, lanes):
            if lane.source is None:  # among them what was just placed, though more of its function wait
                rows = await self._ready.take_released(number, lane.priority, lane.session, count)
                placeable = partition.functions.offered
            else:
                self._queue.remember(lane.source["submission"], lane.source["trace"], lane.source["applications"])
                rows = await self._ready.take_lane(number, lane.source, count)
                placeable = partition.functions.open
            published += await self._publish(partition, rows, placeable, {})
        partition.window_full = partition.credit == 0
        return published

    async def publish(self, rows: Sequence[Row], values: Mapping[UUID, Value]) -> None:
        """Publishes tasks that a statement of `compute` has chosen. `values`: results at hand, by id; others are looked up."""
        for number in {row["partition"] for row in rows}:
            partition = self._registry.get(number)
            assert partition is not None  # the statement chose in partitions that have credit here
            own = [row for row in rows if row["partition"] == number]
            try:
                await self._publish(partition, own, partition.functions.open, values)
            except Exception as error:
                self._suspend(partition, error)

    async def _publish(
        self, partition: Partition, rows: Sequence[Row], placeable: frozenset[str] | None, values: Mapping[UUID, Value]
    ) -> int:
        """How many went to the queue. What is not in `placeable` is set aside."""
        if not rows:
            return 0
        partition.record_chosen(len(rows))  # also so that it is not taken for lost while the queue is empty still
        rows, aside = await self._placement.split(partition, rows, placeable)
        if aside:
            partition.record_left(aside)
            if partition.window_full:
                self._due.add([partition.number])
        if rows:
            await self._queue.publish(partition.name, rows, max(1, len(partition.workers)), values)
        return len(rows)

    def _suspend(self, partition: Partition, error: Exception) -> None:
        """Tasks may stand as chosen in the tables that were never sent: its queue is to be rebuilt."""
        partition.suspend()
        log.warning("dispatch.failed", partition=partition.name, error=repr(error))
