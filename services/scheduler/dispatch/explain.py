"""Why is a ready task still waiting? What its partition, its workers and the tasks ahead of it say."""

from collections import Counter
from uuid import UUID

from services.scheduler.dispatch import ready, unplaced
from services.scheduler.dispatch.partition import Partition
from services.scheduler.dispatch.registry import Registry
from shared.db.sql import Db, Row

SHOWN = 5
"""Workers that one reason names."""


class WaitingReasons:
    """`ports.Waiting`."""

    def __init__(self, db: Db, registry: Registry) -> None:
        self._db, self._registry = db, registry

    async def reasons(self, row: Row, *, queued: bool) -> list[str]:
        """Sentences, the most decisive first. `row`: the task, with `partition_name`; `queued`: it is in the queue."""
        name = row["partition_name"]
        if self._registry.named(name) is None:
            await self._registry.refresh()  # another scheduler has just made it
        partition = self._registry.named(name)
        assert partition is not None  # it is not deleted before its tasks have ended
        reasons = _workers(self._registry, partition, row["function"])
        if not queued:
            reasons += _limits(partition)
            reasons += _ahead(await ready.count_ahead(self._db, row["partition"], row["priority"]), row["priority"])
        return reasons + _others(self._registry, partition) + _load(partition)

    async def unplaced(self, db: Db, session: UUID) -> dict[str, int]:
        """How many ready tasks of a session wait for a function that no live worker of their partition has, by function."""
        partitions = {partition.number: partition for partition in self._registry}
        waiting = await unplaced.count_waiting_in_session(db, session)
        counts: Counter[str] = Counter()
        for own in unplaced.without_worker(waiting, partitions).values():
            counts.update(own)
        return dict(counts)


def _workers(registry: Registry, partition: Partition, function: str) -> list[str]:
    """What its partition's workers cannot do for it."""
    if not partition.workers:
        return [f"partition {partition.name!r} has no live worker"]
    beats = partition.beats
    unwell = [f"worker {beat.worker} is unwell: {beat.unwell}" for beat in beats if beat.unwell][:SHOWN]
    having = sum(function in beat.functions for beat in beats)
    if having == 0:
        return [_nowhere(registry, partition, function), *unwell]
    if having < len(beats):
        unwell.insert(
            0, f"{having} of {len(beats)} live workers of partition {partition.name!r} have function {function!r}"
        )
    return unwell


def _nowhere(registry: Registry, partition: Partition, function: str) -> str:
    """That nobody has its function there; and who has."""
    others = sorted(
        f"{beat.worker} (partition {other.name!r})"
        for other in registry
        if other is not partition
        for beat in other.beats
        if function in beat.functions
    )
    these = f"these do: {', '.join(others[:SHOWN])}" if others else "none of another partition has it either"
    return f"no live worker of partition {partition.name!r} has function {function!r}; {these}"


def _limits(partition: Partition) -> list[str]:
    """Which limit keeps it out of the queue."""
    if partition.max == 0:
        return [f"the max of partition {partition.name!r} is 0: nothing new begins"]
    if partition.max is not None and partition.counted >= partition.max:
        return [f"partition {partition.name!r} has reached its max: {partition.counted} of {partition.max} tasks"]
    if partition.counted >= partition.window:
        return [f"the window of partition {partition.name!r} is full: {partition.counted} of {partition.window} tasks"]
    return []


def _ahead(counts: Row, priority: int) -> list[str]:
    """Who waits in the same partition. Lanes give an upper bound, and so does this."""
    reasons = []
    if counts["higher"]:
        reasons.append(f"it is behind up to {counts['higher']} tasks of higher priority than its {priority}")
    if counts["same"] > 1:
        reasons.append(f"up to {counts['same']} tasks of its priority wait; their sessions take turns")
    return reasons


def _others(registry: Registry, partition: Partition) -> list[str]:
    """Partitions that come first on the workers that they share."""
    reasons = []
    for other in sorted(registry, key=lambda p: (not p.under_reserve, -p.priority, p.name)):
        if other is partition or not other.workers.keys() & partition.workers.keys():
            continue
        if other.under_reserve:
            shown = f"it runs {other.reported_running} tasks and has reserved {other.reserve} slots"
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
