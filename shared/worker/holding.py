"""What a worker holds: messages, and the tasks in them. A message is acknowledged when each of its tasks was told of."""

import asyncio
from collections import deque
from uuid import UUID

from nats.aio.msg import Msg

from shared.contracts.work import Progress, TaskBatch, Work
from shared.worker.printed import Printed


class Parcel:
    """One message. `untold`: tasks in it of which the bus has no stored report yet. `again`: somebody had it before."""

    __slots__ = ("again", "arrived", "begun", "message", "session", "trace", "untold")

    def __init__(self, message: Msg, batch: TaskBatch, now: float) -> None:
        self.message, self.session, self.arrived = message, batch.session, now
        self.trace: str = (message.headers or {}).get("traceparent", "")
        self.untold = len(batch.tasks)
        self.begun = self.again = False


class Held:
    """One task here: waiting, or running since `began` in `slot`. `progress`: what is to be told of it, at most so often.

    `printed`: where what its code prints is collected.
    """

    __slots__ = ("began", "parcel", "printed", "progress", "slot", "started_told", "work")

    def __init__(self, work: Work, parcel: Parcel) -> None:
        self.work, self.parcel = work, parcel
        self.began: float | None = None
        self.slot: asyncio.Task[None] | None = None
        self.started_told = False
        self.progress: Progress | None = None
        self.printed: Printed | None = None


class Holding:
    """Waiting tasks in the order of their arrival, and all that is held by id."""

    def __init__(self) -> None:
        self._waiting: deque[Held] = deque()
        self._by_id: dict[UUID, Held] = {}
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()

    def add(self, held: Held) -> None:
        self._by_id[held.work.id] = held
        self._waiting.append(held)
        self._arrived.set()

    def __contains__(self, work: Work) -> bool:
        held = self._by_id.get(work.id)
        return held is not None and held.work.attempt >= work.attempt

    def get(self, task: UUID) -> Held | None:
        return self._by_id.get(task)

    def all(self) -> list[Held]:
        return list(self._by_id.values())

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def next(self) -> Held:
        """The next task to run; it leaves the waiting ones."""
        while True:
            while self._waiting:
                held = self._waiting.popleft()
                self._taken.set()
                if self._by_id.get(held.work.id) is held:
                    return held
            self._arrived.clear()
            await self._arrived.wait()

    async def room(self, most: int) -> None:
        """Waits until fewer than `most` tasks wait here."""
        while len(self._waiting) >= most:
            self._taken.clear()
            await self._taken.wait()

    async def dropped(self) -> None:
        """Waits until a task has left."""
        self._taken.clear()
        await self._taken.wait()

    def drop(self, held: Held) -> None:
        """Forgets a task; one that waits is passed over when its turn comes."""
        if self._by_id.get(held.work.id) is held:
            del self._by_id[held.work.id]
        self._taken.set()

    def unbegun(self, before: float) -> list[Parcel]:
        """Parcels that have waited here since `before` and of which no task has begun."""
        return list({h.parcel for h in self._waiting if not h.parcel.begun and h.parcel.arrived < before})

    def of(self, parcel: Parcel) -> list[Held]:
        return [held for held in self._by_id.values() if held.parcel is parcel]
