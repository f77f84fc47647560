"""Who is preempted, and who begins first: decisions without I/O.

Slots that nobody needs are everybody's: a partition may run over its reserve. When the owner of a reserve has something to run and no
slot is free on the workers that serve it, what the others borrowed is taken back.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from services.scheduler.dispatch.partition import Partition


class Claim(msgspec.Struct, frozen=True):
    """What a partition has a right to. `missing`: tasks of it that could run and do not; 0: it takes from nobody."""

    number: int
    priority: int
    reserve: int
    missing: int
    workers: Collection[str]


class Run(msgspec.Struct, frozen=True):
    """An attempt that is known to run, since `since` (anything that can be ordered).

    preemptible   false where it would not come back: its session is closed, or it is being cancelled
    """

    task: UUID
    attempt: int
    partition: int
    worker: str
    priority: int
    since: Any
    preemptible: bool = True


def victims(claims: Sequence[Claim], slots: Mapping[str, int], runs: Sequence[Run]) -> list[tuple[Run, int]]:
    """Who is to be preempted, each with the number of the partition for which it is. `slots`: by worker.

    For each partition under its reserve, the more urgent first: as many as it is missing and has reserved, less the slots that are
    free for it; of partitions over their own reserve, lowest priority and youngest first.
    """
    running = Counter(run.partition for run in runs)
    busy = Counter(run.worker for run in runs)
    free = {worker: max(0, count - busy[worker]) for worker, count in slots.items()}
    by_number = {claim.number: claim for claim in claims}
    chosen: dict[UUID, tuple[Run, int]] = {}

    def urgency(run: Run) -> tuple[int, int]:
        return by_number[run.partition].priority, run.priority

    candidates = [run for run in runs if run.preemptible and run.partition in by_number]
    candidates.sort(key=lambda run: run.since, reverse=True)
    candidates.sort(key=urgency)  # the youngest of equals stay first
    for claim in sorted(claims, key=lambda claim: (-claim.priority, claim.number)):
        needed = min(claim.reserve - running[claim.number], claim.missing)
        for worker in sorted(claim.workers):
            used = max(0, min(free.get(worker, 0), needed))
            if used:
                free[worker] -= used
                needed -= used
        for run in candidates:
            if needed <= 0:
                break
            over = running[run.partition] - by_number[run.partition].reserve
            if run.task in chosen or over <= 0 or run.partition == claim.number or run.worker not in claim.workers:
                continue
            chosen[run.task] = (run, claim.number)
            running[run.partition] -= 1
            needed -= 1
    return list(chosen.values())


def claim_of(partition: Partition, *, claims: bool) -> Claim:
    """`claims`: it is under its reserve and dispatched here, so it may take from others."""
    missing = partition.counted - partition.reported_running if claims else 0
    return Claim(partition.number, partition.priority, partition.reserve, missing, partition.workers.keys())


def ranks(served: Sequence[Partition]) -> dict[str, int]:
    """The ranks of the partitions that a worker serves, by name: those under their reserve first, then by priority. 0 begins first."""
    if len(served) < 2:
        return {}
    keys = {partition.name: (not partition.under_reserve, -partition.priority) for partition in served}
    order = sorted(set(keys.values()))
    return {name: order.index(key) for name, key in keys.items()}
