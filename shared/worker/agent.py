"""The worker's loop: pull, run, report, beat, and stop what it is told to."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from uuid import UUID

import msgspec
from nats.aio.msg import Msg

from shared.bus.client import Bus
from shared.contracts import subjects
from shared.contracts.errors import HeadraceError
from shared.contracts.work import MOST_HELD, Beat, BeatReply, Control, Failed, Started
from shared.objects.port import Objects
from shared.runtime.log import log
from shared.worker import streams
from shared.worker.asyncio_tasks import asyncio_tasks_kept
from shared.worker.children import Children
from shared.worker.commands import Commands
from shared.worker.functions import App
from shared.worker.health import Health
from shared.worker.holding import Held, Holding, Parcel
from shared.worker.process_state import ProcessState
from shared.worker.queues import GIVE_BACK, Queue
from shared.worker.runner import Runner
from shared.worker.slots import Slots
from shared.worker.stopped import Stopped
from shared.worker.taking import Taking

LONG = 0.1
"""Seconds after which a task is reported as started."""
KEEP = 3.0
"""How often the bus is told that a message is still worked on: three times in its ack wait."""
STOPPING = 2.0
"""Seconds that code has to end in when the worker has waited long enough for it."""
STOPS = {"cancelled": "it was cancelled", "preempted": "its worker was given to another partition"}
"""Words of control that end what runs, and why it ended."""
LETS_GO = ("closed", "paused")

_control = msgspec.json.Decoder(Control).decode


class Agent:
    """One worker process. `slots`: tasks that run at once, whichever of its partitions they are of.

    `alone`: the process is the worker's alone; what a task's code changes in it is put back.
    """

    def __init__(
        self,
        bus: Bus,
        objects: Objects,
        app: App,
        children: Children,
        *,
        name: str,
        partitions: Sequence[str],
        slots: int,
        commands: Commands | None = None,
        alone: bool = False,
    ) -> None:
        self._bus, self.name, self._count = bus, name, slots
        self._queues = [Queue(bus, name, partition, slots) for partition in partitions]
        self._runner = Runner(bus, objects, app, children, commands)
        self._holding, self._stopped = Holding(), Stopped()
        self._health = Health(slots, self._on_health)
        self._slots = Slots(self._runner, self._holding, name, slots, self._health)
        self._alone = alone
        self._state: ProcessState | None = None
        self._taking = Taking(bus, name, self._holding, self._stopped, self._slots.begin, self._health)
        self._every = 2.0
        self._beat_now = asyncio.Event()

    async def run(self, stop: asyncio.Event, drain: float = 10.0) -> None:
        """Until `stop`; then finishes what runs, for at most `drain` seconds, and gives the rest back."""
        await self._bus.nc.subscribe(subjects.HEARTBEAT_REQUEST, cb=self._on_beat_request)
        await self._bus.nc.subscribe("hr.ctl.session.*", cb=self._on_control)
        self._bus.on_connected(self._on_connected)
        self._beat_now.set()  # the scheduler learns of us at once
        with streams.captured(), asyncio_tasks_kept():
            if self._alone:
                self._state = ProcessState()
                self._slots.restore = self._state.before_run
            try:
                async with asyncio.TaskGroup() as group:
                    await self._work(group, stop, drain)
            finally:
                await self._slots.close()
                if self._state is not None:
                    self._state.restore()

    async def _work(self, group: asyncio.TaskGroup, stop: asyncio.Event, drain: float) -> None:
        loops = [group.create_task(loop) for loop in (self._beats(), self._watch(), self._keep(), self._health.run())]
        self._slots.loops = loops
        for queue in self._queues:
            await queue.pull.start()
        taking = [group.create_task(self._taking.run(queue, self._count)) for queue in self._queues]
        stopped = group.create_task(stop.wait())
        await asyncio.wait([stopped, *loops, *taking], return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():  # the code of a task runs in this loop, too, and can cancel what it finds there
            raise RuntimeError("a loop of the worker was ended by somebody else")
        await asyncio.gather(*(queue.pull.stop() for queue in self._queues))
        for task in taking:
            task.cancel()
        await self._give_back(float("inf"))
        await self._finish(drain)
        for task in loops:
            task.cancel()

    async def _finish(self, drain: float) -> None:
        """Waits for what runs; what takes too long is stopped, and what came in one message with it is given back."""
        late = False
        try:
            async with asyncio.timeout(drain):
                await self._holding.idle()
        except TimeoutError:
            late = True
        rest = {held.parcel for held in self._holding.all() if held.began is None}
        for held in self._holding.all():
            if held.began is None:
                self._holding.drop(held)
            else:
                self._slots.stop(held, "lost", "its worker was stopped")
        if late:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOPPING):
                    await self._holding.idle()
        for held in self._holding.running:  # it goes on in spite of it, and ends with us
            self._slots.report(held, Failed(held.work.id, held.work.attempt, "lost", "its worker was stopped"))
        await asyncio.gather(*(queue.reports.drained(5.0) for queue in self._queues))
        for parcel in rest:
            await parcel.queue.pull.nak(parcel.message)

    # -- watching

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LONG / 2)
            if self._state is not None:
                self._state.restore()
            late = time.monotonic() - LONG
            for held in self._holding.all():
                if held.began is not None and held.began < late and not (held.started_told or held.ended):
                    held.started_told = True
                    started = Started(held.work.id, held.work.attempt, self.name)
                    held.parcel.queue.reports.add(started, held.parcel)
            await self._give_back(time.monotonic() - GIVE_BACK)
            if not self._health.allowed:
                await self._return_waiting()

    async def _give_back(self, before: float) -> None:
        for parcel in self._holding.unbegun(before):
            for held in self._holding.of(parcel):
                self._holding.drop(held)
            await parcel.queue.pull.nak(parcel.message)

    async def _return_waiting(self) -> None:
        """Nothing can be run here for a while: what waits is for others, also what came with tasks that have begun."""
        await self._give_back(float("inf"))
        for held in self._holding.all():
            if held.began is None:
                self._holding.drop(held)
                report = Failed(held.work.id, held.work.attempt, "returned", self._health.unwell)
                held.parcel.queue.reports.add(report, None if held.started_told else held.parcel)

    def _on_health(self) -> None:
        self._slots.begin()
        self._beat_now.set()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(KEEP)
            for parcel in {held.parcel for held in self._holding.all() if held.parcel.untold > 0}:
                await parcel.queue.pull.working(parcel.message)

    async def _beats(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._every):
                    await self._beat_now.wait()
            except TimeoutError:
                pass
            self._beat_now.clear()
            try:
                beat = self._beat()
                reply = await self._bus.request(subjects.beat(self.name), beat, BeatReply, timeout=2.0)
            except HeadraceError as error:
                log.debug("worker.beat_unanswered", error=repr(error))
                continue
            self._every = reply.every
            for queue in self._queues:
                queue.rank = reply.ranks.get(queue.partition, 0)
            asked = dict(beat.holds)
            for task in reply.stop:  # it may be here as a later attempt by now, of which nothing was said
                if (held := self._holding.get(task)) is not None and held.work.attempt <= asked.get(task, -1):
                    await self._release(held, "cancelled")

    def _beat(self) -> Beat:
        names = [queue.partition for queue in self._queues]
        holds = [(held.work.id, held.work.attempt) for held in self._holding.all()]
        functions, held = self._runner.functions, holds[:MOST_HELD]
        partitions, health = names if len(names) > 1 else [], self._health
        return Beat(self.name, names[0], health.allowed, functions, held, partitions, health.unwell)

    async def _on_beat_request(self, message: Msg) -> None:
        self._beat_now.set()

    async def _on_connected(self, lost: frozenset[str]) -> None:
        self._beat_now.set()

    # -- stopping

    async def _on_control(self, message: Msg) -> None:
        """Something became of a session's tasks: what waits here is let go, what runs is stopped if the word says so."""
        try:
            session, control = UUID(message.subject.rpartition(".")[2]), _control(message.data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            log.warning("worker.control_malformed", subject=message.subject, error=str(error))
            return
        if control.event not in STOPS and control.event not in LETS_GO:
            log.warning("worker.control_malformed", subject=message.subject, error=f"unknown event {control.event!r}")
            return
        self._stopped.note(session, control)
        named = None if control.tasks is None else dict(control.tasks)
        for held in self._holding.all():
            if held.parcel.session != session or 0 < control.epoch < held.parcel.epoch:
                continue  # of another session, or chosen since
            if named is None or held.work.attempt <= named.get(held.work.id, -1):
                await self._release(held, control.event)

    async def _release(self, held: Held, event: str) -> None:
        if held.began is None:
            await self._let_go(held)
        elif event in STOPS:
            self._slots.stop(held, "cancelled", STOPS[event])

    async def _let_go(self, held: Held) -> None:
        """There is nothing to say of this task any more; its message waits for the others that came in it."""
        parcel: Parcel = held.parcel
        self._holding.drop(held)
        if held.started_told:
            return
        parcel.untold -= 1
        if parcel.untold == 0:
            await parcel.queue.pull.ack(parcel.message)
