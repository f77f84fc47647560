"""Preemption: a partition that runs less than it has reserved gets slots back from those that run more than theirs.

What is preempted waits for its turn again, as a new attempt that does not count. Who that is: `victims`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from services.scheduler.dispatch.control import WorkerControl
from services.scheduler.dispatch.credit import Credit
from services.scheduler.dispatch.gossip import Gossip
from services.scheduler.dispatch.partition import LiveWorker, count_by_partition
from services.scheduler.dispatch.registry import Registry
from services.scheduler.dispatch.victims import Run, claim_of, victims
from services.scheduler.machine import MACHINES
from shared.bus.client import Bus
from shared.contracts import subjects
from shared.contracts.events import Frame
from shared.contracts.work import Control
from shared.db.sql import Db, Row, load
from shared.runtime.clock import Clock
from shared.runtime.log import log
from shared.service.unit import Unit, Units

Q = load(__file__, "preemption.sql", MACHINES)
MOST = 1_000
"""Attempts preempted in one round."""


class Stopping(msgspec.Struct, frozen=True):
    """An attempt that was preempted at `since`, and that its worker may not have stopped yet. `rebuilds`: of its partition then."""

    task: UUID
    attempt: int
    partition: int
    worker: str
    since: float
    rebuilds: int


def stopped(
    stopping: Iterable[Stopping], rebuilds: Mapping[int, int], workers: Mapping[str, LiveWorker]
) -> tuple[list[Stopping], dict[int, int]]:
    """Which attempts still run, and how many have stopped, by partition: their worker's heartbeats do not name them any more, or it
    is gone. `rebuilds`: of the partitions known; where a queue was rebuilt since, it was counted without what was preempted."""
    left, gone = [], Counter[int]()
    for one in stopping:
        if rebuilds.get(one.partition) != one.rebuilds:
            continue
        worker = workers.get(one.worker)
        if worker is not None and (worker.seen_at <= one.since or (one.task, one.attempt) in worker.beat.holds):
            left.append(one)
        else:
            gone[one.partition] += 1
    return left, dict(gone)


class Preemption:
    """Once a second, for the partitions that are dispatched here. Publishes their counts to the other schedulers, too."""

    def __init__(
        self,
        bus: Bus,
        pool: "asyncpg.Pool[Any]",
        units: Units,
        registry: Registry,
        credit: Credit,
        gossip: Gossip,
        control: WorkerControl,
        clock: Clock,
    ) -> None:
        self._bus, self._pool, self._units, self._clock = bus, pool, units, clock
        self._registry, self._credit, self._gossip, self._control = registry, credit, gossip, control
        self._under_reserve: set[int] = set()
        self._stopping: list[Stopping] = []

    async def run_once(self) -> int:
        """Returns how many attempts were preempted."""
        await self._release_stopped()
        runs = await running_now(self._pool) if any(partition.reserve for partition in self._registry) else []
        await self._gossip.publish_counts(Counter(run.partition for run in runs))
        under_reserve = {p.number for p in self._registry if p.dispatched_here and p.under_reserve}
        if under_reserve != self._under_reserve:  # the workers learn at once who begins first
            self._under_reserve = under_reserve
            await self._bus.publish_core(subjects.HEARTBEAT_REQUEST, b"{}")
        if not under_reserve:
            return 0
        slots = {name: 0 if w.beat.unwell else w.beat.slots for p in self._registry for name, w in p.workers.items()}
        claims = [claim_of(partition, claims=partition.number in under_reserve) for partition in self._registry]
        chosen = victims(claims, slots, runs)[:MOST]
        return await self._preempt(chosen) if chosen else 0

    async def _preempt(self, chosen: list[tuple[Run, int]]) -> int:
        names = {partition.number: partition.name for partition in self._registry}
        chosen.sort(key=lambda one: one[0].task)  # rows are locked in the order of ids, everywhere
        reasons = [f"preempted for partition {names.get(number, '?')}" for _, number in chosen]
        async with self._units.begin() as unit:
            rows = await preempt_tasks(unit.connection, [run for run, _ in chosen], reasons)
            for session in {row["session"] for row in rows}:
                self._publish(unit, session, [(row["id"], row["attempt"]) for row in rows if row["session"] == session])
        now = self._clock.monotonic()
        rebuilds = {partition.number: partition.rebuilds for partition in self._registry}
        self._stopping += [
            Stopping(r["id"], r["attempt"], r["partition"], r["worker"], now, rebuilds.get(r["partition"], 0))
            for r in rows
        ]
        partitions = [names.get(number, "?") for number in count_by_partition(rows)]
        log.info("tasks.preempted", count=len(rows), partitions=partitions)
        return len(rows)

    def _publish(self, unit: Unit, session: UUID, attempts: list[tuple[UUID, int]]) -> None:
        retried = Frame(session, retried=[task for task, _ in attempts])
        unit.emit(subjects.event("task", "changed", session), retried)
        unit.after.append(lambda: self._control.control(session, Control("preempted", attempts)))

    async def _release_stopped(self) -> None:
        """A preempted task is outstanding until its worker has stopped it."""
        rebuilds = {partition.number: partition.rebuilds for partition in self._registry}
        workers = {name: worker for partition in self._registry for name, worker in partition.workers.items()}
        self._stopping, gone = stopped(self._stopping, rebuilds, workers)
        if gone:
            await self._credit.give_back(gone)
            await self._gossip.wake()


async def running_now(db: Db) -> list[Run]:
    """All attempts that are known to run."""
    return [
        Run(r["task"], r["attempt"], r["partition"], r["worker"], r["priority"], r["since"], r["preemptible"])
        for r in await Q.running_now.fetch(db)
    ]


async def preempt_tasks(db: Db, runs: Sequence[Run], reasons: Sequence[str]) -> list[Row]:
    """These attempts, in the order of tasks, wait again as new ones that do not count; those that have ended meanwhile do not.

    Returns id, session, partition, attempt and worker of those that were running.
    """
    return await Q.preempt_tasks.fetch(
        db,
        tasks=[run.task for run in runs],
        attempts=[run.attempt for run in runs],
        workers=[run.worker for run in runs],
        reasons=list(reasons),
    )
