"""A queue is something that can be rebuilt.

When this process begins to dispatch a partition, and when the storage of TASKS or REPORTS was lost, nobody knows what is in the
queue. So the workers are asked what they hold, that is written down as theirs, the rest is taken back from the queue, and everything
that was chosen but has not ended waits for its turn again, under a new epoch. A copy that somebody holds all the same does no harm: a
task ends once.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import asyncpg

from services.scheduler.dispatch.gossip import Gossip
from services.scheduler.dispatch.locks import DispatchLocks
from services.scheduler.dispatch.partition import LiveWorker, Partition
from services.scheduler.dispatch.recount import Recount
from services.scheduler.dispatch.registry import Registry
from services.scheduler.dispatch.requeue import count_held, requeue_partition
from shared.bus import topology
from shared.bus.client import Bus
from shared.contracts import subjects
from shared.contracts.topology import REPORTS, TASKS, worker_consumer
from shared.runtime.clock import Clock
from shared.runtime.log import log

QUIET = 2.0
"""Seconds without an ended task after which an outstanding one is looked for."""


class Recovery:
    """`wait`: seconds that workers have to answer what they hold."""

    def __init__(
        self,
        bus: Bus,
        pool: "asyncpg.Pool[Any]",
        registry: Registry,
        gossip: Gossip,
        locks: DispatchLocks,
        clock: Clock,
        *,
        wait: float,
    ) -> None:
        self._bus, self._pool, self._registry, self._gossip = bus, pool, registry, gossip
        self._locks, self._clock, self._wait = locks, clock, wait
        self._recount = Recount(pool, clock, gossip)
        bus.on_connected(self._on_connected)

    async def run_once(self) -> int:
        """Takes up the partitions that nobody dispatches; rebuilds those that have come to a stop. Returns how many."""
        await self._registry.refresh()
        await self._locks.keep()
        taken = await self._take_up()
        for partition in self._registry:
            await self._recount.count_sparingly(partition)
        stuck = [p for p in self._registry if p.dispatched_here and await self._is_stuck(p)]
        for partition in stuck:
            log.warning("partition.stuck", partition=partition.name, outstanding=partition.outstanding)
        if taken or stuck:
            await self.rebuild(taken + stuck)
        return len(taken) + len(stuck)

    async def _take_up(self) -> list[Partition]:
        """The partitions whose locks are ours and that are not dispatched yet.

        Every scheduler begins with the first, so that who has it gets all: reports go to who dispatches. Who has some tries the
        others too, whoever has the first: it may have been deleted and made again.
        """
        taken: list[Partition] = []
        dispatches = any(partition.dispatched_here for partition in self._registry)
        for partition in sorted(self._registry, key=lambda partition: partition.number):
            if partition.dispatched_here:
                continue
            if await self._locks.acquire(partition.name):
                taken.append(partition)
            elif not (taken or dispatches):
                break
        return taken

    async def _is_stuck(self, partition: Partition) -> bool:
        """Outstanding, yet neither queued, nor with a worker, nor reported: lost with an acknowledged tail of a stream."""
        if partition.outstanding == 0 or time.monotonic() - partition.changed_at < QUIET:
            return False
        if await count_held(self._pool, partition.number) >= partition.outstanding:
            return False
        partition.changed_at = time.monotonic()  # look again after another quiet while
        for stream, consumer in (TASKS.name, worker_consumer(partition.name).name), (REPORTS.name, "schedulers"):
            info = await topology.api(self._bus, f"CONSUMER.INFO.{stream}.{consumer}")
            if "error" in info or info["num_pending"] or info["num_ack_pending"]:
                return "error" in info
        return True

    async def _on_connected(self, lost: frozenset[str]) -> None:
        if not lost & {TASKS.name, REPORTS.name}:
            return
        self._registry.suspend_all()  # `run_once` takes up those that are ours
        for partition in self._registry:
            await topology.ensure_consumer(self._bus, TASKS.name, worker_consumer(partition.name))

    async def rebuild(self, partitions: list[Partition]) -> None:
        """Makes what was chosen wait again, except what workers say that they hold; then the partitions are dispatched here."""
        for partition in partitions:
            partition.suspend()
        suspensions, asked_at = self._registry.suspensions, self._clock.monotonic()
        await self._bus.publish_core(subjects.HEARTBEAT_REQUEST, b"{}")
        await asyncio.sleep(self._wait)  # the workers' answers
        for partition in partitions:
            await self.rebuild_queue(partition, asked_at)
        for partition in partitions:
            partition.dispatched_here = suspensions == self._registry.suspensions
        await self._gossip.wake()

    async def rebuild_queue(self, partition: Partition, asked_at: float) -> None:
        """Empties the queue of a suspended partition, and counts anew. Workers' words from before `asked_at` do not count: what
        they held may have ended since, and its report may be lost."""
        await topology.ensure_consumer(self._bus, TASKS.name, worker_consumer(partition.name))
        purged = await topology.purge(self._bus, TASKS.name, subjects.tasks_of_partition(partition.name))
        held = holds_since(partition.workers, asked_at)
        partition.outstanding = await requeue_partition(self._pool, partition.number, held)
        partition.rebuilds += 1
        log.info("partition.requeued", partition=partition.name, held=len(held), purged=purged)


def holds_since(workers: Mapping[str, LiveWorker], since: float) -> list[tuple[UUID, int, str]]:
    """Task, attempt and worker of all that workers have reported as held since then, in the order of tasks."""
    return sorted(
        (task, attempt, name)
        for name, worker in workers.items()
        if worker.seen_at >= since
        for task, attempt in worker.beat.holds
    )
