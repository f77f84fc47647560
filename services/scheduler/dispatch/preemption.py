"""Preemption: a partition that runs less than it has reserved gets slots back from those that run more than theirs.

Slots that nobody needs are everybody's: a partition may run over its reserve. When the owner of a reserve has something to
run and no slot is free on the workers that serve it, what the others borrowed is taken back, and waits for its turn again
as a new attempt that does not count. The decision is `victims`; who is to begin first on a worker is `ranks`.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from services.scheduler import store
from services.scheduler.dispatch.partition import Partition, by_partition
from services.scheduler.dispatch.turns import Turns
from services.scheduler.machine import TASK
from shared.bus.client import Bus
from shared.contracts import subjects
from shared.contracts.events import Frame
from shared.contracts.work import Control
from shared.runtime.clock import Clock
from shared.runtime.log import log
from shared.service.unit import Unit, Units

Q = store.Q
MOST = 1_000
"""Attempts preempted in one round."""


class Right(msgspec.Struct, frozen=True):
    """A partition, as the decision needs it. `wants`: tasks of it that could run and do not; 0: it takes from nobody."""

    number: int
    priority: int
    reserve: int
    wants: int
    workers: Collection[str]


class Run(msgspec.Struct, frozen=True):
    """An attempt that is known to run, since `since` (anything that can be ordered). `may`: it may be preempted."""

    task: UUID
    attempt: int
    partition: int
    worker: str
    priority: int
    since: Any
    may: bool = True


def victims(rights: Sequence[Right], slots: Mapping[str, int], runs: Sequence[Run]) -> list[tuple[Run, int]]:
    """Who is to be preempted, each with the number of the partition for which it is.

    For each partition under its reserve, the more urgent first: as many as it wants and has a right to, less the slots
    that are free for it; of partitions over their own reserve, lowest priority and youngest first. `slots`: by worker.
    """
    running = Counter(run.partition for run in runs)
    busy = Counter(run.worker for run in runs)
    free = {worker: max(0, n - busy[worker]) for worker, n in slots.items()}
    known = {right.number: right for right in rights}
    chosen: dict[UUID, tuple[Run, int]] = {}

    def order(run: Run) -> tuple[int, int]:
        return known[run.partition].priority, run.priority

    youngest = sorted((run for run in runs if run.may and run.partition in known), key=lambda r: r.since, reverse=True)
    lowest = sorted(youngest, key=order)
    for right in sorted(rights, key=lambda r: (-r.priority, r.number)):
        needs = min(right.reserve - running[right.number], right.wants)
        for worker in sorted(right.workers):
            used = max(0, min(free.get(worker, 0), needs))
            if used:
                free[worker] -= used
                needs -= used
        for run in lowest:
            if needs <= 0:
                break
            over = running[run.partition] - known[run.partition].reserve
            if run.task in chosen or over <= 0 or run.partition == right.number or run.worker not in right.workers:
                continue
            chosen[run.task] = (run, right.number)
            running[run.partition] -= 1
            needs -= 1
    return list(chosen.values())


def ranks(served: Sequence[Partition]) -> dict[str, int]:
    """Of the partitions that a worker serves, by name: under their reserve first, then by priority. 0 begins first."""
    if len(served) < 2:
        return {}
    keys = {partition.name: (not partition.entitled, -partition.priority) for partition in served}
    order = sorted(set(keys.values()))
    return {name: order.index(key) for name, key in keys.items()}


class Preemption:
    """Once a second, for the partitions that are dispatched here. Tells the other schedulers how those stand."""

    def __init__(self, bus: Bus, pool: "asyncpg.Pool[Any]", units: Units, turns: Turns, clock: Clock) -> None:
        self._bus, self._pool, self._units, self._turns, self._clock = bus, pool, units, turns, clock
        self._entitled: set[int] = set()
        self._leaving: list[_Leaving] = []

    async def run_once(self) -> int:
        """Returns how many attempts were preempted."""
        await self._let_go()
        partitions = self._turns.partitions()
        runs = await self._runs() if any(p.reserve for p in partitions) else []
        await self._turns.stand(Counter(run.partition for run in runs))
        entitled = {p.number for p in partitions if p.ready and p.entitled}
        if entitled != self._entitled:  # the workers are told at once who begins first
            self._entitled = entitled
            await self._bus.publish_core(subjects.HEARTBEAT_REQUEST, b"{}")
        if not entitled:
            return 0
        slots = {name: 0 if beat.unwell else beat.slots for p in partitions for name, (beat, _) in p.workers.items()}
        rights = [_right(p, wants=p.number in entitled) for p in partitions]
        found = victims(rights, slots, runs)[:MOST]
        return await self._preempt(found) if found else 0

    async def _runs(self) -> list[Run]:
        rows = await self._pool.fetch(Q["running_now"])
        return [
            Run(r["task"], r["attempt"], r["partition"], r["worker"], r["priority"], r["since"], r["may"]) for r in rows
        ]

    async def _preempt(self, found: list[tuple[Run, int]]) -> int:
        names = {partition.number: partition.name for partition in self._turns.partitions()}
        found.sort(key=lambda one: one[0].task)  # rows are locked in the order of ids, everywhere
        async with self._units.begin() as unit:
            rows = await unit.connection.fetch(
                Q["preempt_tasks"],
                [run.task for run, _ in found],
                [run.attempt for run, _ in found],
                [run.worker for run, _ in found],
                [f"preempted for partition {names.get(number, '?')}" for _, number in found],
                TASK.sources("preempt"),
            )
            for session in {row["session"] for row in rows}:
                self._tell(unit, session, [row for row in rows if row["session"] == session])
        now = self._clock.monotonic()
        eras = {partition.number: partition.rebuilt for partition in self._turns.partitions()}
        self._leaving += [
            _Leaving(r["id"], r["attempt"], r["partition"], r["worker"], now, eras.get(r["partition"], 0)) for r in rows
        ]
        log.info("tasks.preempted", count=len(rows), partitions=[names.get(n, "?") for n in by_partition(rows)])
        return len(rows)

    def _tell(self, unit: Unit, session: UUID, rows: list[Any]) -> None:
        tasks = [(row["id"], row["attempt"]) for row in rows]
        unit.emit(subjects.event("task", "changed", session), Frame(session, retried=[task for task, _ in tasks]))
        unit.after.append(
            lambda: self._bus.publish_core(subjects.session_control(session), Control("preempted", tasks))
        )

    async def _let_go(self) -> None:
        """A preempted task is outstanding until its worker has stopped it: its heartbeats do not name it any more."""
        partitions = {partition.number: partition for partition in self._turns.partitions()}
        beats = {name: told for partition in partitions.values() for name, told in partition.workers.items()}
        kept, gone = [], Counter[int]()
        for one in self._leaving:
            partition = partitions.get(one.partition)
            if partition is None or partition.rebuilt != one.rebuilt:
                continue  # it was counted anew, without what was preempted
            beat, at = beats.get(one.worker, (None, 0.0))
            if beat is not None and (at <= one.told or (one.task, one.attempt) in beat.holds):
                kept.append(one)
            else:
                gone[one.partition] += 1
        self._leaving = kept
        if gone:
            await self._turns.ended(dict(gone))
            await self._turns.wake()


class _Leaving(msgspec.Struct, frozen=True):
    """An attempt that was preempted at `told`, and that its worker may not have stopped yet."""

    task: UUID
    attempt: int
    partition: int
    worker: str
    told: float
    rebuilt: int


def _right(partition: Partition, *, wants: bool) -> Right:
    """`wants`: it is under its reserve, and dispatched here."""
    idle = partition.counted - partition.heard[1] if wants else 0
    return Right(partition.number, partition.priority, partition.reserve, idle, partition.workers.keys())
