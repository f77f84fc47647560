"""Why is a ready task still waiting? What its partition, its workers and the tasks ahead of it say."""

from collections import Counter
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from services.scheduler import store
from services.scheduler.dispatch.partition import Partition
from services.scheduler.dispatch.placement import unplaced
from services.scheduler.dispatch.turns import Turns

Q = store.Q
SHOWN = 5
"""Workers that one reason names."""


class WaitingReasons:
    """`ports.Waiting`."""

    def __init__(self, db: Any, turns: Turns) -> None:
        self._db, self._turns = db, turns

    async def reasons(self, row: Mapping[str, Any], *, queued: bool) -> list[str]:
        turns = self._turns
        if turns.named(row["partition_name"]) is None:
            await turns.refresh()  # another scheduler has just made it
        partition = turns.named(row["partition_name"])
        assert partition is not None  # it is not deleted before its tasks have ended
        reasons = _workers(turns, partition, row["function"])
        if not queued:
            reasons += _limits(partition) + await _ahead(self._db, row)
        return reasons + _others(turns, partition) + _load(partition)

    async def unplaced(self, db: Any, session: UUID) -> dict[str, int]:
        known = {partition.number: partition for partition in self._turns.partitions()}
        counts: Counter[str] = Counter()
        for own in unplaced(await db.fetch(Q["unplaced_of_session"], session), known).values():
            counts.update(own)
        return dict(counts)


def _workers(turns: Turns, partition: Partition, function: str) -> list[str]:
    """What its partition's workers cannot do for it."""
    if not partition.workers:
        return [f"partition {partition.name!r} has no live worker"]
    beats = [beat for beat, _ in partition.workers.values()]
    unwell = [f"worker {beat.worker} is unwell: {beat.unwell}" for beat in beats if beat.unwell][:SHOWN]
    having = sum(function in beat.functions for beat in beats)
    if having == 0:
        return [_nowhere(turns, partition, function), *unwell]
    if having < len(beats):
        unwell.insert(
            0, f"{having} of {len(beats)} live workers of partition {partition.name!r} have function {function!r}"
        )
    return unwell


def _nowhere(turns: Turns, partition: Partition, function: str) -> str:
    """That nobody has its function there; and who has."""
    others = sorted(
        f"{beat.worker} (partition {other.name!r})"
        for other in turns.partitions()
        if other is not partition
        for beat, _ in other.workers.values()
        if function in beat.functions
    )
    these = f"these do: {', '.join(others[:SHOWN])}" if others else "none of another partition has it either"
    return f"no live worker of partition {partition.name!r} has function {function!r}; {these}"


def _limits(partition: Partition) -> list[str]:
    """Which limit keeps it out of the queue."""
    if partition.most == 0:
        return [f"the max of partition {partition.name!r} is 0: nothing new begins"]
    if partition.most is not None and partition.counted >= partition.most:
        return [f"partition {partition.name!r} has reached its max: {partition.counted} of {partition.most} tasks"]
    if partition.counted >= partition.window:
        return [f"the window of partition {partition.name!r} is full: {partition.counted} of {partition.window} tasks"]
    return []


async def _ahead(db: Any, row: Mapping[str, Any]) -> list[str]:
    """Who waits in the same partition. Lanes say an upper bound, and so does this."""
    found = await db.fetchrow(Q["waiting_ahead"], row["partition"], row["priority"])
    reasons = []
    if found["higher"]:
        reasons.append(f"it is behind up to {found['higher']} tasks of higher priority than its {row['priority']}")
    if found["same"] > 1:
        reasons.append(f"up to {found['same']} tasks of its priority wait; their sessions take turns")
    return reasons


def _others(turns: Turns, partition: Partition) -> list[str]:
    """Partitions that come first on the workers that they share."""
    reasons = []
    for other in sorted(turns.partitions(), key=lambda p: (not p.entitled, -p.priority, p.name)):
        if other is partition or not other.workers.keys() & partition.workers.keys():
            continue
        if other.entitled:
            shown = f"it runs {other.heard[1]} tasks and has reserved {other.reserve} slots"
        elif other.priority > partition.priority and other.counted:
            shown = f"its priority is {other.priority}, this one's {partition.priority}"
        else:
            continue
        reasons.append(f"its workers serve partition {other.name!r} first: {shown}")
    return reasons


def _load(partition: Partition) -> list[str]:
    if not partition.workers:
        return []
    workers, slots = len(partition.workers), partition.slots
    return [
        f"partition {partition.name!r}: {partition.counted} tasks are with {workers} worker(s) of {slots} slot(s), "
        f"or queued for them"
    ]
