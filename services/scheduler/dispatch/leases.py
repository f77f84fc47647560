"""Leases: what becomes of the tasks of a worker that falls silent.

Tasks known to be held (they run for more than 100 ms, or were found with a worker after a restart) stand in `running`. When their
worker has been silent for `lease_seconds` they are lost, and tried again; those that had not begun there lose no attempt by it. A
worker without a heartbeat here has as long, from the task's start: its first heartbeat may be lost, or have come before its
partition was known to this process. A task is lost too that a live worker's heartbeats leave out while nobody has reported its end:
the report was lost with the bus's storage, or the worker gave it back to a queue that was emptied meanwhile.

A lease ages only while we are connected and no reports wait: an outage of ours is not the workers' death. What a worker held without
our knowing comes back by itself: the bus delivers it again.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg

from services.scheduler.dispatch import workers
from services.scheduler.dispatch.credit import Credit
from services.scheduler.dispatch.gossip import Gossip
from services.scheduler.dispatch.partition import LiveWorker, count_by_partition
from services.scheduler.dispatch.registry import Registry
from services.scheduler.dispatch.workers import Held
from services.scheduler.ports import Attempts
from shared.bus import topology
from shared.bus.client import Bus
from shared.contracts.topology import REPORTS
from shared.contracts.work import MOST_HELD, Failed
from shared.runtime.clock import Clock
from shared.runtime.log import log

MISSED = 3
"""Heartbeats that may leave out a task that their worker is known to hold: its end may be on its way to us."""
FORGET = 10
"""Leases after which the row of a silent worker is deleted."""

Attempt = tuple[UUID, int]


def lost_attempts(
    held: Sequence[Held],
    worker: LiveWorker | None,
    absent_since: Mapping[Attempt, float],
    now: float,
    *,
    lease: float,
    every: float,
) -> tuple[list[Attempt], dict[Attempt, float]]:
    """Which attempts of one worker are lost, and which are absent from its last heartbeat, each since when.

    `worker`: None if it is silent. `absent_since`: of the last round. `lease`, `every`: seconds until a silent worker's tasks are
    lost, and between two heartbeats.
    """
    if worker is None:
        return [(one.task, one.attempt) for one in held if one.age >= lease], {}
    holds = set(worker.beat.holds)
    if len(holds) >= MOST_HELD:  # it does not name all that it holds
        return [], {}
    absent = {key: absent_since.get(key, now) for one in held if (key := (one.task, one.attempt)) not in holds}
    lost = [key for key, since in absent.items() if now - since > MISSED * every and worker.seen_at >= since + every]
    return lost, absent


class Leases:
    """`lease`, `every`: seconds until a silent worker's tasks are lost, and between two heartbeats."""

    def __init__(
        self,
        bus: Bus,
        pool: "asyncpg.Pool[Any]",
        registry: Registry,
        credit: Credit,
        gossip: Gossip,
        attempts: Attempts,
        clock: Clock,
        *,
        lease: float,
        every: float,
    ) -> None:
        self._bus, self._pool, self._registry, self._credit, self._gossip = bus, pool, registry, credit, gossip
        self._attempts, self._clock = attempts, clock
        self._lease, self._every = lease, every
        self._sound_since: float | None = None  # connected, and no reports wait
        self._absent: dict[Attempt, float] = {}

    async def run_once(self) -> int:
        """Takes back what silent workers held. Returns how many tasks."""
        now = self._clock.monotonic()
        if not self._bus.is_connected or await self._waiting_reports() > 0:
            self._sound_since = None
            return 0
        if self._sound_since is None:
            self._sound_since = now
        for partition in self._registry:
            for name in [name for name, worker in partition.workers.items() if now - worker.seen_at > self._lease]:
                log.warning("worker.silent", worker=name, partition=partition.name)
                partition.remove_worker(name)
        if now - self._sound_since < self._lease:
            return 0
        live = {name: worker for partition in self._registry for name, worker in partition.workers.items()}
        lost, had_by = await self._lost(live, now)
        if lost:
            await self.give_up(lost, had_by)
        await self._delete_silent(live.keys())
        return len(lost)

    async def _lost(self, live: Mapping[str, LiveWorker], now: float) -> tuple[list[Failed], dict[UUID, str]]:
        """The attempts to give up, and who had each task."""
        lost: list[Failed] = []
        had_by: dict[UUID, str] = {}
        absent: dict[Attempt, float] = {}
        for name in await workers.holders(self._pool):
            worker = live.get(name)
            held = await workers.held_by(self._pool, name)
            found, its_absent = lost_attempts(held, worker, self._absent, now, lease=self._lease, every=self._every)
            absent |= its_absent
            why = "fell silent" if worker is None else "does not hold it any more, and has not reported its end"
            for task, attempt in found:
                lost.append(Failed(task, attempt, "lost", f"worker {name} {why}"))
                had_by[task] = name
        self._absent = absent
        lost.sort(key=lambda one: one.task)  # rows are locked in the order of ids, everywhere
        return lost, had_by

    async def give_up(self, lost: Sequence[Failed], had_by: dict[UUID, str]) -> None:
        """Attempts that had not begun wait again; what has begun is reported as lost; what belongs to an ended session ends."""
        tasks, attempts = [one.task for one in lost], [one.attempt for one in lost]
        rows = await workers.return_unbegun(self._pool, tasks, attempts)
        if unbegun := await workers.unbegun_of(self._pool, tasks, attempts):
            await self._attempts.cancel_unstarted(unbegun)  # their session has ended: what follows is their last word
        returned = {row["id"] for row in rows}
        if returned:
            log.info("tasks.returned", count=len(returned))
            await self._credit.give_back(count_by_partition(rows))
            await self._gossip.wake()
        if begun := [one for one in lost if one.task not in returned]:
            await self._attempts.fail(begun, had_by)
            log.warning("tasks.lost", count=len(begun))

    async def _delete_silent(self, live: Collection[str]) -> None:
        now = self._clock.now()
        gone = [
            row["name"]
            for row in await workers.listed(self._pool)
            if row["name"] not in live and (now - row["beat_at"]).total_seconds() > FORGET * self._lease
        ]
        if gone:
            await workers.delete(self._pool, gone)

    async def _waiting_reports(self) -> int:
        info = await topology.api(self._bus, f"CONSUMER.INFO.{REPORTS.name}.schedulers")
        return int(info.get("num_pending", 0))
