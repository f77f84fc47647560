"""The worker's loop: pull, run, report, beat, and stop what it is told to."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from uuid import UUID

import msgspec
from nats.aio.msg import Msg

from shared.bus import trace
from shared.bus.client import Bus
from shared.contracts import subjects
from shared.contracts.errors import HeadraceError
from shared.contracts.work import MOST_HELD, Beat, BeatReply, Completed, Control, Failed, Progress, Started, Work
from shared.objects.port import Objects
from shared.runtime.log import log
from shared.worker import streams
from shared.worker.children import Children
from shared.worker.commands import Commands
from shared.worker.functions import App
from shared.worker.holding import Held, Holding, Parcel
from shared.worker.printed import Printed
from shared.worker.queues import GIVE_BACK, Queue
from shared.worker.runner import Runner, Trouble
from shared.worker.stopped import Stopped
from shared.worker.taking import Taking

LONG = 0.1
"""Seconds after which a task is reported as started."""
PROGRESS = 0.2
"""Seconds in which at most one word about a task's progress is told."""
KEEP = 3.0
"""How often the bus is told that a message is still worked on: three times in its ack wait."""
STOPPING = 2.0
"""Seconds that code has to end in when the worker has waited long enough for it."""
STOPS = {"cancelled": "it was cancelled", "preempted": "its worker was given to another partition"}
"""Words of control that end what runs, and why it ended."""
LETS_GO = ("closed", "paused")

_control = msgspec.json.Decoder(Control).decode


class Agent:
    """One worker process. `slots`: tasks that run at once, whichever of its partitions they are of."""

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
    ) -> None:
        self._bus, self.name, self._slots = bus, name, slots
        self._queues = [Queue(bus, name, partition, slots) for partition in partitions]
        self._runner = Runner(bus, objects, app, children, commands)
        self._holding, self._stopped = Holding(), Stopped()
        self._taking = Taking(bus, name, self._holding, self._stopped)
        self._every = 2.0
        self._beat_now = asyncio.Event()

    async def run(self, stop: asyncio.Event, drain: float = 10.0) -> None:
        """Until `stop`; then finishes what runs, for at most `drain` seconds, and gives the rest back."""
        await self._bus.nc.subscribe(subjects.HEARTBEAT_REQUEST, cb=self._on_beat_request)
        await self._bus.nc.subscribe("hr.ctl.session.*", cb=self._on_control)
        self._bus.on_connected(self._on_connected)
        self._beat_now.set()  # the scheduler learns of us at once
        with streams.captured():
            async with asyncio.TaskGroup() as group:
                loops = [group.create_task(loop) for loop in (self._beats(), self._watch(), self._keep())]
                slots = [group.create_task(self._slot()) for _ in range(self._slots)]
                for queue in self._queues:
                    await queue.pull.start()
                taking = [group.create_task(self._taking.run(queue, self._slots)) for queue in self._queues]
                await stop.wait()
                await asyncio.gather(*(queue.pull.stop() for queue in self._queues))
                for task in taking:
                    task.cancel()
                await self._give_back(float("inf"))
                await self._finish(drain)
                for task in (*slots, *loops):
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
                self._stop(held, "lost", "its worker was stopped")
        if late:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOPPING):
                    await self._holding.idle()
        for held in self._holding.running:  # it goes on in spite of it, and ends with us
            self._end(held, Failed(held.work.id, held.work.attempt, "lost", "its worker was stopped"))
        await asyncio.gather(*(queue.reports.drained(5.0) for queue in self._queues))
        for parcel in rest:
            await parcel.queue.pull.nak(parcel.message)

    # -- running

    async def _slot(self) -> None:
        slot = asyncio.current_task()
        while True:
            held = await self._holding.next()
            held.began, held.parcel.begun, held.slot = time.monotonic(), True, slot
            await self._run(held)

    async def _run(self, held: Held) -> None:
        work, parcel = held.work, held.parcel
        token = trace.current.set(parcel.trace)
        printed = held.printed = Printed(work.id, work.attempt, parcel.queue.reports.add)
        try:
            if parcel.again and not held.started_told:
                # Who had it before may have died of it: known to be ours before it can kill us, it loses an attempt.
                held.started_told = True
                await self._tell_started(work, parcel)
            made = await self._runner.run(work, parcel.session, lambda f, m: self._progress(held, f, m), printed)
            seconds = round(time.monotonic() - (held.began or 0), 6)
            self._end(held, Completed(work.id, work.attempt, made.outputs, seconds, made.submission))
        except Trouble as trouble:
            self._end(held, Failed(work.id, work.attempt, trouble.kind, str(trouble)))
        except asyncio.CancelledError:
            if _cancelled() > (held.stopping is not None):  # the worker itself ends
                printed.end(tell=False)
                raise
            # Otherwise `_end` knows that we have stopped it, or the function has awaited something that was cancelled.
            self._end(held, Failed(work.id, work.attempt, "error", "CancelledError"))
        finally:
            if held.stopping is not None:
                _uncancel()
            trace.current.reset(token)

    async def _tell_started(self, work: Work, parcel: Parcel) -> None:
        try:
            await parcel.queue.reports.stored(Started(work.id, work.attempt, self.name), parcel)
        except HeadraceError as error:
            raise Trouble("lost", str(error)) from None

    def _end(self, held: Held, report: Completed | Failed) -> None:
        if held.printed is not None:
            held.printed.end()
        if held.ended:
            return
        held.ended = True
        self._holding.drop(held)
        if held.progress is not None:
            self._tell_progress(held)
        held.parcel.queue.reports.add(held.stopping or report, None if held.started_told else held.parcel)

    def _progress(self, held: Held, fraction: float, message: str) -> None:
        """A tight loop may call this: the last word counts, once a while."""
        if held.progress is None:
            asyncio.get_running_loop().call_later(PROGRESS, self._tell_progress, held)
        held.progress = Progress(held.work.id, held.work.attempt, fraction, message)

    def _tell_progress(self, held: Held) -> None:
        told, held.progress = held.progress, None
        if told is not None:
            held.parcel.queue.reports.add(told)

    # -- watching

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LONG / 2)
            late = time.monotonic() - LONG
            for held in self._holding.all():
                if held.began is not None and held.began < late and not held.started_told:
                    held.started_told = True
                    started = Started(held.work.id, held.work.attempt, self.name)
                    held.parcel.queue.reports.add(started, held.parcel)
            await self._give_back(time.monotonic() - GIVE_BACK)

    async def _give_back(self, before: float) -> None:
        for parcel in self._holding.unbegun(before):
            for held in self._holding.of(parcel):
                self._holding.drop(held)
            await parcel.queue.pull.nak(parcel.message)

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
        return Beat(self.name, names[0], self._slots, functions, held, names if len(names) > 1 else [])

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
            self._stop(held, "cancelled", STOPS[event])

    def _stop(self, held: Held, kind: str, why: str) -> None:
        """Its slot goes on once it has really ended: until then it is held, and nothing is reported."""
        if held.stopping is None and held.slot is not None:
            log.info("worker.task_stopped", task=str(held.work.id), why=why)
            held.stopping = Failed(held.work.id, held.work.attempt, kind, why)
            held.slot.cancel()

    async def _let_go(self, held: Held) -> None:
        """There is nothing to say of this task any more; its message waits for the others that came in it."""
        parcel: Parcel = held.parcel
        self._holding.drop(held)
        if held.started_told:
            return
        parcel.untold -= 1
        if parcel.untold == 0:
            await parcel.queue.pull.ack(parcel.message)


def _cancelled() -> int:
    """How often the running slot was asked to end."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def _uncancel() -> None:
    if (task := asyncio.current_task()) is not None:
        task.uncancel()
