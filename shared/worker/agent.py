"""The worker's loop: pulls tasks, runs them, sends heartbeats, and stops tasks when the scheduler says so."""

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
from shared.worker import stdio
from shared.worker.children import Children
from shared.worker.commands import Commands
from shared.worker.delivery import Delivery
from shared.worker.exit_guard import guard_asyncio_tasks
from shared.worker.functions import App
from shared.worker.health import Health
from shared.worker.held_tasks import HeldTask, HeldTasks
from shared.worker.intake import Intake
from shared.worker.partition_queue import GIVE_BACK, PartitionQueue
from shared.worker.process_state import ProcessState
from shared.worker.runner import Runner
from shared.worker.slots import Slots
from shared.worker.stopped_tasks import StoppedTasks

REPORT_START_AFTER = 0.1
"""Seconds that a task has run when its start is reported. One that ends sooner is reported once, at its end."""
EXTEND_INTERVAL = 3.0
"""Seconds between two extensions of the ack wait of messages whose tasks run: three times in an ack wait."""
STOP_LIMIT = 2.0
"""Seconds that code has to end in when the drain time is over."""
STOPPING_EVENTS = {"cancelled": "it was cancelled", "preempted": "its worker was given to another partition"}
"""Events of a Control that stop what runs, and the error of the tasks that are stopped."""
RELEASING_EVENTS = ("closed", "paused")
"""Events of a Control that concern only what waits here."""

_decode_control = msgspec.json.Decoder(Control).decode


class Agent:
    """One worker process.

    partitions     those whose tasks it takes
    slots          tasks that run at once, whichever of its partitions they are of
    commands       runs commands of users; None: it takes none
    owns_process   nothing else runs in this process: what a task's code changes in it is put back
    held, queues   the tasks that it holds, and the partitions that they come from
    slots, health  what runs them, and how many of them may run
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
        owns_process: bool = False,
    ) -> None:
        self._bus, self.name, self._count = bus, name, slots
        self.queues = [PartitionQueue(bus, name, partition, slots) for partition in partitions]
        self._runner = Runner(bus, objects, app, children, commands)
        self.held, self._stopped = HeldTasks(), StoppedTasks()
        self.health = Health(slots, self._on_health)
        self.slots = Slots(self._runner, self.held, name, slots, self.health)
        self._owns_process = owns_process
        self._process_state: ProcessState | None = None
        self._intake = Intake(bus, name, self.held, self._stopped, self.slots.begin, self.health)
        self.beat_interval = 2.0
        self._beat_now = asyncio.Event()

    async def run(self, stop: asyncio.Event, drain: float = 10.0) -> None:
        """Runs until `stop` is set; then finishes what runs, for at most `drain` seconds, and gives the rest back."""
        await self._bus.nc.subscribe(subjects.HEARTBEAT_REQUEST, cb=self._on_beat_request)
        await self._bus.nc.subscribe("hr.ctl.session.*", cb=self._on_control)
        self._bus.on_connected(self._on_connected)
        self._beat_now.set()  # the scheduler learns of us at once
        with stdio.captured_streams(), guard_asyncio_tasks():
            if self._owns_process:
                self._process_state = ProcessState()
                self.slots.before_run = self._process_state.before_run
            try:
                async with asyncio.TaskGroup() as group:
                    await self._work(group, stop, drain)
            finally:
                await self.slots.close()
                if self._process_state is not None:
                    self._process_state.restore()

    async def _work(self, group: asyncio.TaskGroup, stop: asyncio.Event, drain: float) -> None:
        endless_loops = (self._send_beats(), self._watch(), self._extend_deliveries(), self.health.run())
        loops = [group.create_task(loop) for loop in endless_loops]
        self.slots.loops = loops
        for queue in self.queues:
            await queue.pull.start()
        intakes = [group.create_task(self._intake.run(queue, self._count)) for queue in self.queues]
        stopped = group.create_task(stop.wait())
        await asyncio.wait([stopped, *loops, *intakes], return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():  # the code of a task runs in this loop, too, and can cancel what it finds there
            raise RuntimeError("a loop of the worker was ended by somebody else")
        await asyncio.gather(*(queue.pull.stop() for queue in self.queues))
        for task in intakes:
            task.cancel()
        await self._give_back(float("inf"))
        await self._drain(drain)
        for task in loops:
            task.cancel()

    async def _drain(self, seconds: float) -> None:
        """Waits for what runs; what takes too long is stopped, and what came in one message with it is given back."""
        timed_out = False
        try:
            async with asyncio.timeout(seconds):
                await self.held.until_idle()
        except TimeoutError:
            timed_out = True
        partly_started = {held.delivery for held in self.held.all() if held.started_at is None}
        for held in self.held.all():
            if held.started_at is None:
                self.held.drop(held)
            else:
                self.slots.stop(held, "lost", "its worker was stopped")
        if timed_out:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_LIMIT):
                    await self.held.until_idle()
        for held in self.held.running:  # it goes on in spite of it, and ends with us
            self.slots.report(held, Failed(held.work.id, held.work.attempt, "lost", "its worker was stopped"))
        await asyncio.gather(*(queue.reports.until_stored(5.0) for queue in self.queues))
        for delivery in partly_started:
            await delivery.give_back()

    # -- looking after what is held

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(REPORT_START_AFTER / 2)
            if self._process_state is not None:
                self._process_state.restore()
            before = time.monotonic() - REPORT_START_AFTER
            for held in self.held.all():
                runs_long = held.started_at is not None and held.started_at < before
                if runs_long and not (held.start_reported or held.end_reported):
                    held.start_reported = True
                    held.queue.reports.add(Started(held.work.id, held.work.attempt, self.name), held.delivery)
            await self._give_back(time.monotonic() - GIVE_BACK)
            if not self.health.allowed:
                await self._return_waiting()

    async def _give_back(self, before: float) -> None:
        """Gives back messages that came before that moment (time.monotonic()) and of which no task has begun."""
        for delivery in self.held.not_started(before):
            for held in self.held.of(delivery):
                self.held.drop(held)
            await delivery.give_back()

    async def _return_waiting(self) -> None:
        """Nothing can be run here for a while: what waits is for others, also what came with tasks that have begun."""
        await self._give_back(float("inf"))
        for held in self.held.all():
            if held.started_at is None:
                self.held.drop(held)
                report = Failed(held.work.id, held.work.attempt, "returned", self.health.problem)
                held.queue.reports.add(report, None if held.start_reported else held.delivery)

    def _on_health(self) -> None:
        self.slots.begin()
        self._beat_now.set()

    async def _extend_deliveries(self) -> None:
        while True:
            await asyncio.sleep(EXTEND_INTERVAL)
            for delivery in {held.delivery for held in self.held.all() if held.delivery.unreported > 0}:
                await delivery.extend()

    async def _send_beats(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self.beat_interval):
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
            self.beat_interval = reply.every
            for queue in self.queues:
                queue.rank = reply.ranks.get(queue.partition, 0)
            sent = dict(beat.holds)
            stopped = [held for task in reply.stop if (held := self.held.get(task)) is not None]
            # By now it may be here as a later attempt, which the heartbeat did not name.
            await self._release(
                [held for held in stopped if held.work.attempt <= sent.get(held.work.id, -1)], "cancelled"
            )

    def _beat(self) -> Beat:
        names = [queue.partition for queue in self.queues]
        holds = [(held.work.id, held.work.attempt) for held in self.held.all()][:MOST_HELD]
        partitions, health = names if len(names) > 1 else [], self.health
        return Beat(self.name, names[0], health.allowed, self._runner.functions, holds, partitions, health.problem)

    async def _on_beat_request(self, message: Msg) -> None:
        self._beat_now.set()

    async def _on_connected(self, lost: frozenset[str]) -> None:
        self._beat_now.set()

    # -- stopping

    async def _on_control(self, message: Msg) -> None:
        """A session's tasks were closed, paused, cancelled or preempted: what waits is released, what runs may be stopped."""
        try:
            session, control = UUID(message.subject.rpartition(".")[2]), _decode_control(message.data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            log.warning("worker.control_malformed", subject=message.subject, error=str(error))
            return
        if control.event not in STOPPING_EVENTS and control.event not in RELEASING_EVENTS:
            log.warning("worker.control_malformed", subject=message.subject, error=f"unknown event {control.event!r}")
            return
        self._stopped.note(session, control)
        named = None if control.tasks is None else dict(control.tasks)
        await self._release(
            [
                held
                for held in self.held.all()
                if held.delivery.session == session
                and not 0 < control.epoch < held.delivery.epoch  # chosen since
                and (named is None or held.work.attempt <= named.get(held.work.id, -1))
            ],
            control.event,
        )

    async def _release(self, tasks: Sequence[HeldTask], event: str) -> None:
        """Drops those that wait, then stops those that run: a slot that becomes free must not begin one that was to be dropped."""
        running = [held for held in tasks if held.started_at is not None]
        reported = [delivery for held in tasks if held.started_at is None and (delivery := self._drop_waiting(held))]
        if event in STOPPING_EVENTS:
            for held in running:
                self.slots.stop(held, "cancelled", STOPPING_EVENTS[event])
        for delivery in reported:
            await delivery.ack()

    def _drop_waiting(self, held: HeldTask) -> Delivery | None:
        """Forgets a task without a report; its message, if all other tasks in it are reported: then it is to be acknowledged."""
        self.held.drop(held)
        if held.start_reported:
            return None
        held.delivery.unreported -= 1
        return held.delivery if held.delivery.unreported == 0 else None
