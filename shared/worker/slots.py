"""The slots of a worker: each runs one held task at a time, in an asyncio task of its own, and every run ends in one report."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from contextvars import copy_context
from sys import getrefcount
from weakref import getweakrefcount

from shared.bus import trace
from shared.contracts.errors import HeadraceError
from shared.contracts.work import Completed, Failed, Progress, Started
from shared.runtime.log import log
from shared.worker.describe import describe
from shared.worker.health import Health
from shared.worker.holding import Held, Holding
from shared.worker.printed import Printed
from shared.worker.runner import Runner, Shortage, Trouble

PROGRESS = 0.2
"""Seconds in which at most one report of a task's progress is made."""
PATIENCE = 1.0
"""Seconds in which what is stopped has to end by itself. Then a coroutine is left, and the end of anything else is reported."""


class Slots:
    """`count` tasks of `holding` at once, or fewer, as `health` allows.

    `restore` is called before each run with the time. `loops`: those without which the worker ends.
    """

    def __init__(self, runner: Runner, holding: Holding, worker: str, count: int, health: Health) -> None:
        self._runner, self._holding, self._worker, self._health = runner, holding, worker, health
        self._busy, self._closed = 0, False
        self.restore: Callable[[float], None] | None = None
        self.loops: list[asyncio.Task[None]] = []
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()

    def begin(self) -> None:
        """Begins what waits, as far as slots are free."""
        while self._busy < self._health.allowed and (held := self._next()) is not None:
            # A context of its own: nothing that one task's code has set there is seen by another.
            self._busy += 1
            asyncio.Task(self._occupy(held), loop=self._loop, context=self._context.copy())

    def stop(self, held: Held, kind: str, why: str) -> None:
        """Ends a run: it will be reported as failed in this way, whatever its code returns; the slot is free when it has ended."""
        if held.stopping is None and not held.ended:
            log.info("worker.task_stopped", task=str(held.work.id), why=why)
            held.stopping = Failed(held.work.id, held.work.attempt, kind, why)
            if held.slot is not None:  # otherwise its first step is to come
                held.slot.cancel()
            self._loop.call_later(PATIENCE, self._insist, held)

    def report(self, held: Held, report: Completed | Failed) -> None:
        """Reports the end of a run, once."""
        if held.printed is not None:
            held.printed.end()
        if held.ended:
            return
        held.ended = True
        if held.progress is not None:
            self._report_progress(held)
        held.parcel.queue.reports.add(held.stopping or report, None if held.started_told else held.parcel)

    async def close(self) -> None:
        """Ends what still runs, without a report: the worker itself ends."""
        self._closed = True
        for _ in range(2):
            tasks = [held.slot for held in self._holding.running if held.slot is not None and not held.slot.done()]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=PATIENCE)
            for held in self._holding.running:
                held.left = True

    def _next(self) -> Held | None:
        held, now = None if self._closed else self._holding.pop(), time.monotonic()
        if held is not None:
            held.began, held.parcel.begun = now, True
            if self.restore is not None:
                self.restore(now)
        return held

    async def _occupy(self, held: Held | None) -> None:
        """Runs a task, then what waits, as long as this asyncio task is as good as new; otherwise another one goes on."""
        task = asyncio.current_task()
        assert task is not None
        references, weak = getrefcount(task), getweakrefcount(task)
        if (
            held is not None
        ):  # others may have run since it was chosen, and how long it takes decides how much is sent to workers
            held.began = time.monotonic()
        with contextlib.suppress(Exception):  # values of context variables are compared as they like
            while held is not None:
                held.slot = task
                await self._run(held)
                held.slot = None
                # Who has kept a reference may cancel it later; a variable that was set would be seen by the next task's code.
                kept = getrefcount(task) != references or getweakrefcount(task) != weak
                if kept or task.cancelling() or copy_context() != self._context:
                    break
                if self._busy > self._health.allowed:
                    break
                held = self._next()
        self._busy -= 1
        self.begin()

    async def _run(self, held: Held) -> None:
        """One run, from the first to the last. Nothing that it raises comes to asyncio, which would end the loop with it."""
        work, parcel = held.work, held.parcel
        report: Completed | Failed
        timer: asyncio.TimerHandle | None = None
        token = trace.current.set(parcel.trace)
        try:
            held.printed = Printed(work.id, work.attempt, parcel.queue.reports.add)
            if held.stopping is not None or self._closed:
                raise asyncio.CancelledError
            if work.max_duration:
                why = f"it took longer than {work.max_duration:g} s"
                timer = self._loop.call_later(work.max_duration, self.stop, held, "timeout", why)
            if parcel.again and not held.started_told:
                # Who had it before may have died of it: known to be ours before it can kill us, it loses an attempt.
                held.started_told = True
                await self._store_started(held)
            made = await self._runner.run(held, lambda f, m: self._progress(held, f, m))
            seconds = round(time.monotonic() - (held.began or 0), 6)
            report = Completed(work.id, work.attempt, made.outputs, seconds, made.submission)
        except Trouble as trouble:
            report = Failed(work.id, work.attempt, trouble.kind, str(trouble))
            if isinstance(trouble, Shortage):
                self._health.fail(str(trouble), self._busy - 1, trouble.probe)
        except asyncio.CancelledError:  # by `stop`, which has said why; or by a timer that the code has set
            report = Failed(work.id, work.attempt, "error", "CancelledError")
        except BaseException as error:  # not the code's doing, which `Trouble` has
            log.error("worker.run_failed", task=str(work.id), error=describe(error), exc_info=error)
            report = Failed(work.id, work.attempt, "lost", f"the worker failed: {describe(error)}")
        if timer is not None:
            timer.cancel()
        asked = held.slot is not None and held.slot.cancelling() and held.stopping is None
        if self._closed or (asked and self._swept()):
            if held.printed is not None:
                held.printed.end(tell=False)
        else:
            self.report(held, report)
            self._holding.drop(held)
        trace.current.reset(token)

    def _swept(self) -> bool:
        """Whether somebody has cancelled the worker's own loops: it ends, and what was cancelled with them has not failed."""
        return any(loop.done() or loop.cancelling() for loop in self.loops)

    def _insist(self, held: Held) -> None:
        """It was stopped, and has had its time."""
        if held.slot is None:
            return
        if held.code_waits and not held.left:
            log.warning("worker.code_left", task=str(held.work.id), function=held.work.function)
            held.left = True
            held.slot.cancel()
            self._loop.call_later(PATIENCE, self._insist, held)
        elif held.stopping is not None:  # the slot waits for what cannot be ended, but nobody else does
            self.report(held, held.stopping)

    async def _store_started(self, held: Held) -> None:
        started = Started(held.work.id, held.work.attempt, self._worker)
        try:
            await held.parcel.queue.reports.stored(started, held.parcel)
        except HeadraceError as error:
            raise Trouble("lost", str(error)) from None

    def _progress(self, held: Held, fraction: float, message: str) -> None:
        """A tight loop may call this, in any thread: the last call of each `PROGRESS` seconds is reported."""
        if held.ended:
            return
        first = held.progress is None
        held.progress = Progress(held.work.id, held.work.attempt, fraction if 0 <= fraction <= 1 else 0.0, message)
        if first:
            self._loop.call_soon_threadsafe(self._loop.call_later, PROGRESS, self._report_progress, held)

    def _report_progress(self, held: Held) -> None:
        progress, held.progress = held.progress, None
        if progress is not None:
            held.parcel.queue.reports.add(progress)
