"""The worker's loop: pull, check, run, report, beat."""

import asyncio
import time
from uuid import UUID

import msgspec
from nats.aio.msg import Msg

from shared.bus import trace
from shared.bus.client import Bus
from shared.bus.middleware.poison import bury
from shared.bus.pull import Pull, delivery
from shared.contracts import subjects
from shared.contracts.errors import HeadraceError
from shared.contracts.topology import TASKS, worker_consumer
from shared.contracts.work import (
    MOST_HELD,
    Beat,
    BeatReply,
    Completed,
    Confirm,
    Confirmed,
    Control,
    Failed,
    Progress,
    Started,
    TaskBatch,
    Work,
)
from shared.objects.port import Objects
from shared.runtime.log import log
from shared.worker import streams
from shared.worker.children import Children
from shared.worker.functions import App
from shared.worker.holding import Held, Holding, Parcel
from shared.worker.printed import Printed
from shared.worker.reports import Reports
from shared.worker.runner import Runner, Trouble

LONG = 0.1
"""Seconds after which a task is reported as started."""
GIVE_BACK = 2.0
"""Seconds after which a message that nobody here could begin is offered to other workers."""
PROGRESS = 0.2
"""Seconds in which at most one word about a task's progress is told."""
KEEP = 3.0
"""How often the bus is told that a message is still worked on: three times in its ack wait."""

REMEMBERED = 10_000
"""Sessions of which is known that earlier messages of theirs do not count."""

_decode = msgspec.json.Decoder(TaskBatch).decode
_control = msgspec.json.Decoder(Control).decode


class Agent:
    """One worker process. `slots`: tasks that run at once."""

    def __init__(
        self, bus: Bus, objects: Objects, app: App, children: Children, *, name: str, partition: str, slots: int
    ) -> None:
        self._bus, self.name, self._partition, self._slots = bus, name, partition, slots
        self._functions = sorted(app.functions)
        queue = worker_consumer(partition)
        self._pull = Pull(bus, TASKS.name, queue.name, batch=2 * slots, give_back=GIVE_BACK)
        self._fresh = queue.ack_wait / 2  # for so long after it was taken nobody else can have a message
        self._holding = Holding()
        self._reports = Reports(bus, self._pull, name, partition)
        self._runner = Runner(bus, objects, app, children)
        self._every = 2.0
        self._beat_now = asyncio.Event()
        self._over: dict[UUID, int] = {}

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
                await self._pull.start()
                taking = group.create_task(self._take())
                await stop.wait()
                await self._pull.stop()
                taking.cancel()
                await self._give_back(float("inf"))
                await self._finish(drain)
                for task in (*slots, *loops):
                    task.cancel()

    async def _finish(self, drain: float) -> None:
        try:
            async with asyncio.timeout(drain):
                while any(held.began is not None for held in self._holding.all()):
                    await self._holding.dropped()
        except TimeoutError:
            for held in self._holding.all():
                if held.began is not None:
                    self._end(held, Failed(held.work.id, held.work.attempt, "lost", "its worker was stopped"))
        await self._reports.drained(5.0)

    # -- taking

    async def _take(self) -> None:
        while messages := await self._pull.take(max(1, self._slots)):
            taken = time.monotonic()
            for message in messages:  # each may take a while
                await self._accept(message, again=time.monotonic() - taken > self._fresh)
            await self._holding.room(self._slots)

    async def _accept(self, message: Msg, *, again: bool) -> None:
        """`again`: it may be with somebody else by now, as one that was delivered before."""
        try:
            batch = _decode(message.data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # no UTF-8, or nested too deep
            await bury(self._bus, self._pull, message, TASKS.name, f"not a batch of tasks: {error}")
            return
        if (here := self._same(message, batch)) is not None:
            here.message = (
                message  # redelivered to us: an ack as of a copy would remove it before its reports are stored
            )
            return
        if batch.epoch <= self._over.get(batch.session, 0):  # taken back from the queue while it was on its way
            await self._pull.ack(message)
            return
        parcel = Parcel(message, batch, time.monotonic())
        parcel.again = again or delivery(message)[0] > 1
        fresh = [work for work in batch.tasks if work not in self._holding]
        if fresh and parcel.again:
            allowed = await self._confirm([(work.id, work.attempt) for work in fresh])
            if allowed is None:
                await self._pull.nak(message, 1.0)
                return
            fresh = [work for work in fresh if work.id in allowed]
        parcel.untold = len(fresh)
        if not fresh:  # a copy of what is done, or here already
            await self._pull.ack(message)
        for work in fresh:
            self._holding.add(Held(work, parcel))

    def _same(self, message: Msg, batch: TaskBatch) -> Parcel | None:
        """The parcel held here that is this very message, and is not yet acknowledged."""
        sequence = delivery(message)[1]
        held = (self._holding.get(work.id) for work in batch.tasks if work in self._holding)
        parcels = (one.parcel for one in held if one is not None and one.parcel.untold > 0)
        return next((parcel for parcel in parcels if delivery(parcel.message)[1] == sequence), None)

    async def _confirm(self, tasks: list[tuple[UUID, int]]) -> set[UUID] | None:
        """Those that may run of a message that was delivered before; None if nobody can say now."""
        try:
            subject = subjects.rpc("scheduler", "task", "confirm")
            return set((await self._bus.request(subject, Confirm(self.name, tasks), Confirmed)).run)
        except HeadraceError as error:
            log.warning("worker.not_confirmed", error=repr(error))
            return None

    # -- running

    async def _slot(self) -> None:
        while True:
            held = await self._holding.next()
            held.began, held.parcel.begun, held.slot = time.monotonic(), True, asyncio.current_task()
            await self._run(held)

    async def _run(self, held: Held) -> None:
        work, parcel = held.work, held.parcel
        token = trace.current.set(parcel.trace)
        printed = held.printed = Printed(work.id, work.attempt, self._reports.add)
        try:
            if parcel.again and not held.started_told:
                # Who had it before may have died of it: known to be ours before it can kill us, it loses an attempt.
                held.started_told = True
                await self._tell_started(work, parcel)
            outputs = await self._runner.run(work, parcel.session, lambda f, m: self._progress(held, f, m), printed)
            self._end(held, Completed(work.id, work.attempt, outputs, round(time.monotonic() - (held.began or 0), 6)))
        except Trouble as trouble:
            self._end(held, Failed(work.id, work.attempt, trouble.kind, str(trouble)))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            if not task.cancelling():  # nobody cancelled us: the function awaited something that was
                self._end(held, Failed(work.id, work.attempt, "error", "CancelledError"))
            elif held.slot is None:  # taken from it by `_stop`: there is nothing to report, and the slot goes on
                task.uncancel()
                printed.end()
            else:
                printed.end(tell=False)
                raise
        finally:
            trace.current.reset(token)

    async def _tell_started(self, work: Work, parcel: Parcel) -> None:
        try:
            await self._reports.stored(Started(work.id, work.attempt, self.name), parcel)
        except HeadraceError as error:
            raise Trouble("lost", str(error)) from None

    def _end(self, held: Held, report: Completed | Failed) -> None:
        if held.printed is not None:
            held.printed.end()
        if self._holding.get(held.work.id) is not held:
            return
        self._holding.drop(held)
        self._tell_progress(held)
        self._reports.add(report, None if held.started_told else held.parcel)

    def _progress(self, held: Held, fraction: float, message: str) -> None:
        """A tight loop may call this: the last word counts, once a while."""
        if held.progress is None:
            asyncio.get_running_loop().call_later(PROGRESS, self._tell_progress, held)
        held.progress = Progress(held.work.id, held.work.attempt, fraction, message)

    def _tell_progress(self, held: Held) -> None:
        told, held.progress = held.progress, None
        if told is not None:
            self._reports.add(told)

    # -- watching

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LONG / 2)
            late = time.monotonic() - LONG
            for held in self._holding.all():
                if held.began is not None and held.began < late and not held.started_told:
                    held.started_told = True
                    self._reports.add(Started(held.work.id, held.work.attempt, self.name), held.parcel)
            await self._give_back(time.monotonic() - GIVE_BACK)

    async def _give_back(self, before: float) -> None:
        for parcel in self._holding.unbegun(before):
            for held in self._holding.of(parcel):
                self._holding.drop(held)
            await self._pull.nak(parcel.message)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(KEEP)
            for parcel in {held.parcel for held in self._holding.all() if held.parcel.untold > 0}:
                await self._pull.working(parcel.message)

    async def _beats(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._every):
                    await self._beat_now.wait()
            except TimeoutError:
                pass
            self._beat_now.clear()
            holds = [(held.work.id, held.work.attempt) for held in self._holding.all()]
            beat = Beat(self.name, self._partition, self._slots, self._functions, holds[:MOST_HELD])
            try:
                reply = await self._bus.request(subjects.beat(self.name), beat, BeatReply, timeout=2.0)
            except HeadraceError as error:
                log.debug("worker.beat_unanswered", error=repr(error))
                continue
            self._every = reply.every
            for task in reply.stop:
                await self._stop(task)

    async def _stop(self, task: UUID) -> None:
        held = self._holding.get(task)
        if held is None:
            return
        if held.slot is not None:
            log.info("worker.task_stopped", task=str(task))
            slot, held.slot = held.slot, None
            slot.cancel()
        await self._let_go(held)

    async def _on_beat_request(self, message: Msg) -> None:
        self._beat_now.set()

    async def _on_connected(self, lost: frozenset[str]) -> None:
        self._beat_now.set()

    async def _on_control(self, message: Msg) -> None:
        """A session was closed or paused: what has not begun here is let go, and what is still on its way dropped."""
        try:
            session, control = UUID(message.subject.rpartition(".")[2]), _control(message.data)
        except (msgspec.MsgspecError, ValueError) as error:
            log.warning("worker.control_malformed", subject=message.subject, error=str(error))
            return
        if control.tasks is None:
            if len(self._over) >= REMEMBERED:
                self._over.pop(next(iter(self._over)))
            self._over[session] = max(control.epoch, self._over.get(session, 0))
        for held in self._holding.all():
            if held.began is None and held.parcel.session == session:
                await self._let_go(held)

    async def _let_go(self, held: Held) -> None:
        """There is nothing to say of this task any more; its message waits for the others that came in it."""
        parcel: Parcel = held.parcel
        self._holding.drop(held)
        if held.started_told:
            return
        parcel.untold -= 1
        if parcel.untold == 0:
            await self._pull.ack(parcel.message)
