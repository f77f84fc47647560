"""What a worker holds: messages, and the tasks in them. A message is acknowledged when each of its tasks was told of."""

import asyncio
from collections import deque
from uuid import UUID

from nats.aio.msg import Msg

from shared.contracts.work import Failed, Progress, TaskBatch, Work
from shared.worker.printed import Printed
from shared.worker.queues import Queue


class Parcel:
    """One message. `untold`: tasks in it of which the bus has no stored report yet. `again`: somebody had it before."""

    __slots__ = ("again", "arrived", "begun", "epoch", "message", "queue", "session", "trace", "untold")

    def __init__(self, message: Msg, batch: TaskBatch, queue: Queue, now: float) -> None:
        self.message, self.session, self.epoch, self.queue = message, batch.session, batch.epoch, queue
        self.arrived = now
        self.trace: str = (message.headers or {}).get("traceparent", "")
        self.untold = len(batch.tasks)
        self.begun = self.again = False


class Held:
    """One task here: waiting, or running since `began` in the asyncio task `slot`. `progress`: what is to be told of it.

    `printed`: where what its code prints is collected. `stopping`: it is being stopped; what is to be reported of it then.
    `dropped`: it is not held any more. `code_waits`: its coroutine waits for something. `left`: it is not to go on.
    """

    __slots__ = (
        "began",
        "code_waits",
        "dropped",
        "ended",
        "left",
        "parcel",
        "printed",
        "progress",
        "slot",
        "started_told",
        "stopping",
        "work",
    )

    def __init__(self, work: Work, parcel: Parcel) -> None:
        self.work, self.parcel = work, parcel
        self.began: float | None = None
        self.slot: asyncio.Task[None] | None = None
        self.started_told = self.ended = self.dropped = False
        self.stopping: Failed | None = None
        self.progress: Progress | None = None
        self.printed: Printed | None = None
        self.code_waits = self.left = False


class Holding:
    """Waiting tasks in the order of their turn, and all that is held by id.

    Each queue has a line of its own, as long as if there were no other: what is urgent is fetched although others wait.
    """

    def __init__(self) -> None:
        self._lines: dict[Queue, deque[Held]] = {}
        self._by_id: dict[UUID, Held] = {}
        self._taken = asyncio.Event()

    def add(self, held: Held) -> None:
        if (before := self._by_id.get(held.work.id)) is not None:
            before.dropped = True
        self._by_id[held.work.id] = held
        self._lines.setdefault(held.parcel.queue, deque()).append(held)

    def __contains__(self, work: Work) -> bool:
        held = self._by_id.get(work.id)
        return held is not None and held.work.attempt >= work.attempt

    def get(self, task: UUID) -> Held | None:
        return self._by_id.get(task)

    def all(self) -> list[Held]:
        return list(self._by_id.values())

    @property
    def waiting(self) -> int:
        return sum(len(line) for line in self._lines.values())

    @property
    def running(self) -> list[Held]:
        return [held for held in self._by_id.values() if held.began is not None]

    def pop(self) -> Held | None:
        """The next task to run, of the lowest rank the one that came first; it leaves the waiting ones."""
        while line := self._first():
            held = line.popleft()
            self._taken.set()
            if not held.dropped:
                return held
        return None

    def _first(self) -> deque[Held] | None:
        """The line whose turn it is."""
        if len(self._lines) == 1:
            (line,) = self._lines.values()
            return line
        return min((line for line in self._lines.values() if line), key=_turn, default=None)

    async def room(self, queue: Queue, most: int) -> None:
        """Waits until fewer than `most` tasks of a queue wait here.

        Those that were given back count until their turn comes: as long as nothing ends here, others are to have them.
        """
        while len(self._lines.get(queue, ())) >= most:
            self._taken.clear()
            await self._taken.wait()

    async def idle(self) -> None:
        """Waits until nothing runs."""
        while self.running:
            self._taken.clear()
            await self._taken.wait()

    def drop(self, held: Held) -> None:
        """Forgets a task; one that waits is passed over when its turn comes."""
        if not held.dropped:
            held.dropped = True
            del self._by_id[held.work.id]
        self._taken.set()

    def unbegun(self, before: float) -> list[Parcel]:
        """Parcels that have waited here since `before` and of which no task has begun."""
        parcels = {held.parcel: None for held in self._by_id.values() if held.began is None}
        return [parcel for parcel in parcels if not parcel.begun and parcel.arrived < before]

    def of(self, parcel: Parcel) -> list[Held]:
        return [held for held in self._by_id.values() if held.parcel is parcel]


def _turn(line: deque[Held]) -> tuple[int, float]:
    parcel = line[0].parcel
    return parcel.queue.rank, parcel.arrived
