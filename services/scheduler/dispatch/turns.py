"""Turns: which ready tasks go to the queue, and how many.

What waits is in the tables; the queue holds a window of about `AHEAD` seconds of what a partition's workers can do. So a
small session submitted behind a million tasks starts at once, a pause takes back little, and priority means something.

Until a task has ended, nobody knows how long the others take: then the window is a few tasks per slot, and tasks ride
alone. A large one would put hours of work on the first worker that asks (see `Pace`, `Queue`).

One process dispatches a partition at a time, under an advisory lock. A completer that finds credit left chooses the tasks
it released by itself (`credits`), which saves a chain's hop a round trip.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from nats.aio.msg import Msg

from services.scheduler import store
from services.scheduler.dispatch.partition import IDLE, Partition, by_partition
from services.scheduler.dispatch.placement import TICK, Placement
from services.scheduler.dispatch.queue import Queue
from services.scheduler.dispatch.share import Lane, share
from services.scheduler.machine import TASK
from services.scheduler.ports import LAST_EPOCH
from shared.bus import topology
from shared.bus.client import Bus
from shared.contracts import subjects
from shared.contracts.compute import Value
from shared.contracts.topology import TASKS, worker_consumer
from shared.contracts.work import Control
from shared.runtime.log import log
from shared.service.unit import Unit

Q = store.Q
ENDED = "hr.ctl.scheduler.ended"
"""Core publish between schedulers, `.<partition's number>`: so many of its tasks have ended. Lost ones are found (Recovery)."""
STANDING = "hr.ctl.scheduler.standing"
"""Core publish between schedulers, once a second, by dispatchers: `[[partition's number, outstanding, running], …]`."""
WOKEN = "hr.ctl.scheduler.woken"
"""Core publish between schedulers: something may be ready, in the partitions of these numbers. Lost ones cost half a second."""
LANES = 256
"""Sessions looked at in one round, the most urgent first, with a few submissions of each."""


class Turns:
    """The dispatcher of this process."""

    def __init__(self, bus: Bus, pool: "asyncpg.Pool[Any]", queue: Queue) -> None:
        self._bus, self._pool, self._queue, self._placement = bus, pool, queue, Placement(pool)
        self._partitions: dict[int, Partition] = {}
        self._woken = asyncio.Event()
        self._due: set[int] = set()  # partitions to look at; each costs two queries
        self._limited: set[int] = set()  # those with a `most`: what is released there waits for the dispatcher
        self.doubts = 0

    # -- what others ask

    def numbers(self) -> dict[str, int]:
        return {partition.name: number for number, partition in self._partitions.items()}

    async def numbers_of(self, names: Collection[str]) -> dict[str, int]:
        if not self.numbers().keys() >= set(names):  # another scheduler has just made one
            await self.refresh()
        return {name: number for name, number in self.numbers().items() if name in names}

    async def hold(self, db: Any, names: Collection[str]) -> set[str]:
        return {row["name"] for row in await db.fetch(Q["hold_partitions"], list(names))}

    def partitions(self) -> list[Partition]:
        return list(self._partitions.values())

    def named(self, name: str) -> Partition | None:
        return next((p for p in self._partitions.values() if p.name == name), None)

    def credits(self) -> tuple[list[int], list[int]]:
        """Partitions that may be given tasks here and now, and how many, as the statements take them.

        None with a `most`: two statements at once would count on the same credit. Their tasks wait for the dispatcher.
        """
        found = {number: p.credit for number, p in self._partitions.items() if p.most is None and p.credit > 0}
        return list(found), list(found.values())

    def promise(self, unit: Unit, wanted: Mapping[int, int]) -> bool:
        """Sets turns for so many tasks, by partition, aside until the unit is over, if there is room for all and nobody waits."""
        credits = dict(zip(*self.credits(), strict=True))
        partitions = [(self._partitions[number], n) for number, n in wanted.items() if number in credits]
        if len(partitions) < len(wanted) or any(p.pace.hungry or p.credit < n for p, n in partitions):
            return False
        for partition, n in partitions:
            partition.promised += n

        async def over() -> None:
            for partition, n in partitions:
                partition.promised -= n

        unit.after.append(over)
        unit.undone.append(over)
        return True

    def rank(self) -> int:
        """Who dispatches is given the reports first: the tasks that they release go out without another hop."""
        return 0 if any(partition.ready for partition in self._partitions.values()) else 1

    # -- what happened

    def know(self, submission: UUID, trace: str, applications: bool) -> None:
        """Of a submission whose tasks will be published here."""
        self._queue.remember(submission, trace, applications)

    async def wake(self, numbers: Iterable[int] | None = None) -> None:
        """Something may be ready, here or where another process dispatches. `numbers`: in these partitions only."""
        looked = list(self._partitions if numbers is None else numbers)
        self._look(looked)
        if not all(partition.ready for number in looked if (partition := self._partitions.get(number)) is not None):
            await self._bus.publish_core(WOKEN, looked)

    def _look(self, numbers: Iterable[int]) -> None:
        self._due.update(numbers)
        self._woken.set()

    async def ended(self, counts: dict[int, int], took: Iterable[tuple[int, str, float]] = ()) -> None:
        """Tasks have left the queue and the workers, by partition; examples of how long their functions took."""
        for number, n in counts.items():
            partition = self._partitions.get(number)
            if partition is None or not partition.ready:  # its dispatcher is another process
                await self._bus.publish_core(f"{ENDED}.{number}", b"%d" % n)
            else:
                self._leave(partition, n)
        for number, function, seconds in took:
            if seconds > 0:  # a worker need not say
                self._queue.took(function, seconds)
                if partition := self._partitions.get(number):
                    partition.pace.took(seconds)
                    partition.functions.ran(function)
        if self._limited:
            self._look(self._limited)

    async def set_aside(
        self, unit: Unit, tasks: Sequence[UUID], attempts: Sequence[int], workers: Sequence[str], reasons: Sequence[str]
    ) -> list[Any]:
        """Workers have given these back, and they wait to be placed."""
        sources = TASK.sources("give back")
        rows: list[Any] = await unit.connection.fetch(Q["set_aside"], tasks, attempts, workers, reasons, sources)
        unit.after.append(lambda: self._set_aside(rows))
        return rows

    async def requeue(self, unit: Unit, session: UUID) -> None:
        db, taken = unit.connection, Counter[int]()
        for submission in await db.fetch(Q["active_submissions"], session):
            low, high = store.span(submission["id"])
            rows = await db.fetch(Q["let_go"], low, high)
            rows += await db.fetch(Q["rewind_released"], low, high, None)
            rows += await db.fetch(Q["rewind_lanes"], low, high, None)
            for back in rows:
                taken[back["partition"]] += back["tasks"]
            await db.execute(Q["leave_to_lanes"], low, high, None, session)
        unit.after.append(lambda: self.ended(dict(taken)))

    async def _set_aside(self, rows: Sequence[Any]) -> None:
        counts = by_partition(rows)
        for number in counts.keys() & self._partitions.keys():
            self._partitions[number].functions.waiting = True
        await self.ended(counts)
        await self.wake(counts)

    def _leave(self, partition: Partition, n: int) -> None:
        partition.outstanding = max(0, partition.outstanding - n)
        partition.moved = time.monotonic()
        if partition.pace.hungry:
            self._look([partition.number])

    async def listen(self) -> None:
        """Hears of what ended or became ready by other schedulers' hands, and of how others' partitions stand."""
        await self._bus.nc.subscribe(f"{ENDED}.*", cb=self._on_ended)
        await self._bus.nc.subscribe(STANDING, cb=self._on_standing)
        await self._bus.nc.subscribe(WOKEN, cb=self._on_woken)

    async def stand(self, running: Mapping[int, int]) -> None:
        """Tells how the partitions stand that are dispatched here. `running`: tasks known to run, by partition."""
        own = [p for p in self._partitions.values() if p.ready]
        for partition in own:
            partition.heard = (partition.outstanding, running.get(partition.number, 0))
        if own:
            await self._bus.publish_core(STANDING, [(p.number, *p.heard) for p in own])

    async def _on_standing(self, message: Msg) -> None:
        for number, outstanding, running in msgspec.json.decode(message.data, type=list[tuple[int, int, int]]):
            partition = self._partitions.get(number)
            if partition is not None and not partition.ready:
                partition.heard = (outstanding, running)

    async def _on_woken(self, message: Msg) -> None:
        self._look(msgspec.json.decode(message.data, type=list[int]))

    async def _on_ended(self, message: Msg) -> None:
        partition = self._partitions.get(int(message.subject.rpartition(".")[2]))
        if partition is not None and partition.ready:
            self._leave(partition, int(message.data))
            self._look([partition.number])  # what was released there waits for its turn here

    async def chosen(self, rows: Sequence[Any], values: Mapping[UUID, Value]) -> None:
        """Tasks whose rows say that they were chosen: publish them. `values`: results at hand."""
        for number in {row["partition"] for row in rows}:
            own = [row for row in rows if row["partition"] == number]
            partition = self._partitions[number]
            try:
                await self._publish(partition, own, partition.functions.open, values)
            except Exception as error:
                self._doubt(partition, error)

    def doubt(self) -> None:
        """Nobody knows what is in the queues: they are to be rebuilt (see `Recovery`); a rebuild under way does not count."""
        self.doubts += 1
        for partition in self._partitions.values():
            partition.ready = False

    def _doubt(self, partition: Partition, error: Exception) -> None:
        """Tasks may stand as chosen in the tables and have never been sent: its queue is to be rebuilt (see `Recovery`)."""
        partition.ready = False
        log.warning("dispatch.failed", partition=partition.name, error=repr(error))

    async def take_back(self, session: UUID, event: str, epoch: int = LAST_EPOCH) -> None:
        """A session's queue is emptied; workers are told what to do with what they hold (`event`, `epoch`: see Control)."""
        await topology.purge(self._bus, TASKS.name, subjects.tasks_of_session(session))
        await self.control(session, Control(event, None, epoch))
        await self.wake()

    async def control(self, session: UUID, what: Control) -> None:
        """To all workers."""
        await self._bus.publish_core(subjects.session_control(session), what)

    async def refresh(self) -> None:
        """Reads the partitions: makes the workers' consumer of those that are new, forgets those that were deleted."""
        rows = {row["id"]: row for row in await self._pool.fetch(Q["partitions"])}
        for number in self._partitions.keys() - rows.keys():
            log.info("partition.forgotten", partition=self._partitions.pop(number).name)
        for number, row in rows.items():
            partition = self._partitions.get(number)
            if partition is None:
                await topology.ensure_consumer(self._bus, TASKS.name, worker_consumer(row["name"]))
                # Another refresh may have been faster: what is counted must not be in two places.
                partition = self._partitions.setdefault(number, Partition(number, row["name"]))
                log.info("partition.known", partition=partition.name)
            lowered = row["most"] is not None and (partition.most is None or row["most"] < partition.most)
            if lowered and row["most"] < partition.outstanding:
                partition.ready = False  # what is in the queue is taken back (see `Recovery`); what runs goes on
            partition.priority, partition.reserve, partition.most = row["priority"], row["reserve"], row["most"]
        self._limited = {number for number, partition in self._partitions.items() if partition.most is not None}

    # -- dispatch

    async def run(self) -> None:
        """Dispatches until cancelled: when woken, every `IDLE` seconds, and every `TICK` seconds where something is set aside."""
        looked = -IDLE
        while True:
            hurried = [number for number, partition in self._partitions.items() if partition.hurried]
            try:
                async with asyncio.timeout(TICK if hurried else IDLE):
                    await self._woken.wait()
            except TimeoutError:
                self._due.update(hurried)
            if (now := time.monotonic()) - looked >= IDLE:
                looked = now
                self._due.update(self._partitions)
            self._woken.clear()
            due, self._due = self._due, set()
            for partition in [partition for number, partition in self._partitions.items() if number in due]:
                try:
                    while partition.credit > 0 and await self._round(partition):
                        pass
                except Exception as error:
                    self._doubt(partition, error)

    async def _round(self, partition: Partition) -> int:
        """One sharing of the credit there is. Returns how many tasks were published; none: others' turn, then it is `hurried`."""
        await self._placement.look(partition)
        credit, number, placed = partition.credit, partition.number, partition.functions.open
        waiting = await self._pool.fetch(Q["waiting_lanes"], number, LANES, None if placed is None else list(placed))
        ready = await self._pool.fetch(Q["waiting_ready"], number, LANES)
        lanes = [Lane(row["priority"], row["session"], credit, None) for row in ready]
        lanes += [Lane(row["priority"], row["session"], row["upto"] - row["cursor"], row) for row in waiting]
        if not lanes:
            partition.pace.hungry = False
            return 0
        given = 0
        for lane, n in share(credit, lanes):
            if lane.source is None:  # among them what has its turn again, though more of its function wait
                rows = await self._pool.fetch(Q["take_ready"], number, lane.priority, lane.session, n)
                placed = partition.functions.offered
            else:
                rows, placed = await self._take_lane(number, lane, n), partition.functions.open
            given += await self._publish(partition, rows, placed)
        partition.pace.hungry = partition.credit == 0
        return given

    async def _take_lane(self, number: int, lane: Lane, n: int) -> list[Any]:
        row: Any = lane.source
        submission: UUID = row["submission"]
        first, end = UUID(int=submission.int | row["cursor"]), UUID(int=submission.int | row["upto"])
        self._queue.remember(submission, row["trace"], row["applications"])
        rows: list[Any] = await self._pool.fetch(
            Q["take_lane"], submission, number, lane.priority, first, end, n, lane.session
        )
        return rows

    async def _publish(
        self,
        partition: Partition,
        rows: Sequence[Any],
        placed: frozenset[str] | None,
        values: Mapping[UUID, Value] | None = None,
    ) -> int:
        """How many went to the queue; the others cannot be placed: their functions are not in `placed`."""
        if not rows:
            return 0
        partition.outstanding += len(rows)
        partition.moved = time.monotonic()  # on their way to the queue: not lost, though it is empty still
        rows, aside = await self._placement.split(partition, rows, placed)
        if aside:
            self._leave(partition, aside)
        if rows:
            await self._queue.publish(partition.name, rows, max(1, len(partition.workers)), values or {})
        return len(rows)
