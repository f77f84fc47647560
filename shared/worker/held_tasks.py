"""The tasks that a worker holds: those that wait for a slot, in the order of their turn, and those that run."""

import asyncio
from collections import deque
from uuid import UUID

from shared.contracts.work import Failed, Progress, Work
from shared.worker.delivery import Delivery
from shared.worker.log_buffer import LogBuffer
from shared.worker.partition_queue import PartitionQueue


class HeldTask:
    """One attempt of a task at this worker, from its arrival until its end is reported or it is given back.

    started_at        when it began to run, by time.monotonic(); None while it waits for a slot
    slot              the asyncio task that runs it
    start_reported    a Started was reported, so the scheduler counts the attempt
    end_reported      its end was reported; nothing more is
    dropped           it is not held any more
    stop_report       it was stopped: what is reported as its end, whatever its code returns
    unsent_progress   the last progress that is not reported yet
    log_buffer        collects what its code prints
    suspended         its coroutine waits for something
    abandoned         its coroutine was stopped and did not end; it never runs again
    """

    __slots__ = (
        "abandoned",
        "delivery",
        "dropped",
        "end_reported",
        "log_buffer",
        "queue",
        "slot",
        "start_reported",
        "started_at",
        "stop_report",
        "suspended",
        "unsent_progress",
        "work",
    )

    def __init__(self, work: Work, delivery: Delivery, queue: PartitionQueue) -> None:
        self.work, self.delivery, self.queue = work, delivery, queue
        self.started_at: float | None = None
        self.slot: asyncio.Task[None] | None = None
        self.start_reported = self.end_reported = self.dropped = False
        self.stop_report: Failed | None = None
        self.unsent_progress: Progress | None = None
        self.log_buffer: LogBuffer | None = None
        self.suspended = self.abandoned = False


class HeldTasks:
    """All tasks held here by id, and those that wait, in one line for each partition.

    A line may be as long as if it were the only one, so that an urgent partition is pulled although others wait.
    """

    def __init__(self) -> None:
        self._lines: dict[PartitionQueue, deque[HeldTask]] = {}
        self._by_id: dict[UUID, HeldTask] = {}
        self._changed = asyncio.Event()

    def add(self, held: HeldTask) -> None:
        """Appends a task to its partition's line; an earlier attempt of it that waits is passed over."""
        if (before := self._by_id.get(held.work.id)) is not None:
            before.dropped = True
        self._by_id[held.work.id] = held
        self._lines.setdefault(held.queue, deque()).append(held)

    def __contains__(self, work: Work) -> bool:
        """Whether this attempt of the task, or a later one, is held."""
        held = self._by_id.get(work.id)
        return held is not None and held.work.attempt >= work.attempt

    def get(self, task: UUID) -> HeldTask | None:
        """The task of this id, in whichever attempt."""
        return self._by_id.get(task)

    def all(self) -> list[HeldTask]:
        """Those that wait and those that run."""
        return list(self._by_id.values())

    @property
    def waiting(self) -> int:
        """How many are in the lines, dropped ones included."""
        return sum(len(line) for line in self._lines.values())

    @property
    def running(self) -> list[HeldTask]:
        """Those that have begun and are not dropped."""
        return [held for held in self._by_id.values() if held.started_at is not None]

    def pop(self) -> HeldTask | None:
        """The next task to run: of the partition with the lowest rank, the one that came first. It leaves its line."""
        while line := self._next_line():
            held = line.popleft()
            self._changed.set()
            if not held.dropped:
                return held
        return None

    def _next_line(self) -> deque[HeldTask] | None:
        if len(self._lines) == 1:
            (line,) = self._lines.values()
            return line
        return min((line for line in self._lines.values() if line), key=_turn, default=None)

    async def until_room(self, queue: PartitionQueue, most: int) -> None:
        """Waits until fewer than `most` tasks of a partition are in its line.

        Dropped ones count until their turn comes: as long as nothing ends here, other workers are to have them.
        """
        while len(self._lines.get(queue, ())) >= most:
            self._changed.clear()
            await self._changed.wait()

    async def until_idle(self) -> None:
        """Waits until nothing runs."""
        while self.running:
            self._changed.clear()
            await self._changed.wait()

    def drop(self, held: HeldTask) -> None:
        """Forgets a task; one that waits is passed over when its turn comes. Harmless when repeated."""
        if not held.dropped:
            held.dropped = True
            del self._by_id[held.work.id]
        self._changed.set()

    def not_started(self, before: float) -> list[Delivery]:
        """Messages that have been here since before that moment (time.monotonic()), and of which no task has begun."""
        deliveries = {held.delivery: None for held in self._by_id.values() if held.started_at is None}
        return [one for one in deliveries if not one.started and one.received_at < before]

    def of(self, delivery: Delivery) -> list[HeldTask]:
        """The tasks held here that came in a message."""
        return [held for held in self._by_id.values() if held.delivery is delivery]


def _turn(line: deque[HeldTask]) -> tuple[int, float]:
    return line[0].queue.rank, line[0].delivery.received_at
