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
from shared.worker.error_text import describe
from shared.worker.health import Health
from shared.worker.held_tasks import HeldTask, HeldTasks
from shared.worker.log_buffer import LogBuffer
from shared.worker.runner import Runner, ShortageFailure, TaskFailure

PROGRESS_INTERVAL = 0.2
"""Seconds in which at most one report of a task's progress is made."""
STOP_LIMIT = 1.0
"""Seconds in which what is stopped has to end. Then a coroutine is abandoned, and the end of anything else is reported."""


class Slots:
    """Runs as many of `held` at once as `health` allows.

    before_run   called before each run with the time (time.monotonic())
    loops        the asyncio tasks without which the worker ends
    busy         slots that run a task
    """

    def __init__(self, runner: Runner, held: HeldTasks, worker: str, count: int, health: Health) -> None:
        self._runner, self._held, self._worker, self._health = runner, held, worker, health
        self.busy, self._closed = 0, False
        self.before_run: Callable[[float], None] | None = None
        self.loops: list[asyncio.Task[None]] = []
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()

    def begin(self) -> None:
        """Begins tasks that wait, as far as slots are free."""
        while self.busy < self._health.allowed and (held := self._next()) is not None:
            # A context of its own: nothing that one task's code has set there is seen by another.
            self.busy += 1
            asyncio.Task(self._occupy(held), loop=self._loop, context=self._context.copy())

    def stop(self, held: HeldTask, kind: str, reason: str) -> None:
        """Ends a run. It is reported as Failed(kind, reason), whatever its code returns; the slot is free when it has ended."""
        if held.stop_report is None and not held.end_reported:
            log.info("worker.task_stopped", task=str(held.work.id), why=reason)
            held.stop_report = Failed(held.work.id, held.work.attempt, kind, reason)
            if held.slot is not None:  # otherwise its first step is to come
                held.slot.cancel()
            self._loop.call_later(STOP_LIMIT, self._on_stop_limit, held)

    def report(self, held: HeldTask, report: Completed | Failed) -> None:
        """Reports the end of a run, once."""
        if held.log_buffer is not None:
            held.log_buffer.end()
        if held.end_reported:
            return
        held.end_reported = True
        if held.unsent_progress is not None:
            self._report_progress(held)
        held.queue.reports.add(held.stop_report or report, None if held.start_reported else held.delivery)

    async def close(self) -> None:
        """Ends what still runs, without a report: the worker itself ends."""
        self._closed = True
        for _ in range(2):
            tasks = [held.slot for held in self._held.running if held.slot is not None and not held.slot.done()]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=STOP_LIMIT)
            for held in self._held.running:
                held.abandoned = True

    def _next(self) -> HeldTask | None:
        held, now = None if self._closed else self._held.pop(), time.monotonic()
        if held is not None:
            held.started_at, held.delivery.started = now, True
            if self.before_run is not None:
                self.before_run(now)
        return held

    async def _occupy(self, held: HeldTask | None) -> None:
        """Runs a task, then what waits, as long as this asyncio task is as good as new; otherwise another one goes on."""
        task = asyncio.current_task()
        assert task is not None
        references, weak = getrefcount(task), getweakrefcount(task)
        if held is not None:
            # Others may have run since it was chosen, and how long it takes decides how much is sent to workers.
            held.started_at = time.monotonic()
        with contextlib.suppress(Exception):  # values of context variables are compared as they like
            while held is not None:
                held.slot = task
                await self._run(held)
                held.slot = None
                # Who has kept a reference may cancel it later; a variable that was set would be seen by the next task's code.
                kept = getrefcount(task) != references or getweakrefcount(task) != weak
                if kept or task.cancelling() or copy_context() != self._context:
                    break
                if self.busy > self._health.allowed:
                    break
                held = self._next()
        self.busy -= 1
        self.begin()

    async def _run(self, held: HeldTask) -> None:
        """One run, from the first step to its report. Raises nothing to asyncio, which would end the loop with it."""
        work, delivery = held.work, held.delivery
        report: Completed | Failed
        timer: asyncio.TimerHandle | None = None
        token = trace.current.set(delivery.trace)
        try:
            held.log_buffer = LogBuffer(work.id, work.attempt, held.queue.reports.add)
            if held.stop_report is not None or self._closed:
                raise asyncio.CancelledError
            if work.max_duration:
                reason = f"it took longer than {work.max_duration:g} s"
                timer = self._loop.call_later(work.max_duration, self.stop, held, "timeout", reason)
            if delivery.redelivered and not held.start_reported:
                # The worker that had it before may have died of it: reported as begun, it loses an attempt if we die of it too.
                held.start_reported = True
                await self._store_started(held)
            outcome = await self._runner.run(held, lambda f, m: self._progress(held, f, m))
            seconds = round(time.monotonic() - (held.started_at or 0), 6)
            report = Completed(work.id, work.attempt, outcome.outputs, seconds, outcome.submission)
        except TaskFailure as failure:
            report = Failed(work.id, work.attempt, failure.kind, str(failure))
            if isinstance(failure, ShortageFailure):
                self._health.fail(str(failure), self.busy - 1, failure.probe)
        except asyncio.CancelledError:  # by `stop`, which has set the report; or by a timer that the code has set
            report = Failed(work.id, work.attempt, "error", "CancelledError")
        except BaseException as error:  # not the code's doing, which is a TaskFailure
            log.error("worker.run_failed", task=str(work.id), error=describe(error), exc_info=error)
            report = Failed(work.id, work.attempt, "lost", f"the worker failed: {describe(error)}")
        if timer is not None:
            timer.cancel()
        cancelled = held.slot is not None and held.slot.cancelling() and held.stop_report is None
        if self._closed or (cancelled and self._worker_ends()):
            if held.log_buffer is not None:
                held.log_buffer.end(report=False)
        else:
            self.report(held, report)
            self._held.drop(held)
        trace.current.reset(token)

    def _worker_ends(self) -> bool:
        """Whether somebody has cancelled the worker's own loops: then what was cancelled with them has not failed."""
        return any(loop.done() or loop.cancelling() for loop in self.loops)

    def _on_stop_limit(self, held: HeldTask) -> None:
        """A task was stopped, and its time to end is over."""
        if held.slot is None:
            return
        if held.suspended and not held.abandoned:
            log.warning("worker.code_abandoned", task=str(held.work.id), function=held.work.function)
            held.abandoned = True
            held.slot.cancel()
            self._loop.call_later(STOP_LIMIT, self._on_stop_limit, held)
        elif held.stop_report is not None:  # the slot waits for what cannot be ended, but nobody else does
            self.report(held, held.stop_report)

    async def _store_started(self, held: HeldTask) -> None:
        started = Started(held.work.id, held.work.attempt, self._worker)
        try:
            await held.queue.reports.add_and_wait(started, held.delivery)
        except HeadraceError as error:
            raise TaskFailure("lost", str(error)) from None

    def _progress(self, held: HeldTask, fraction: float, message: str) -> None:
        """A tight loop may call this, in any thread: the last call of each `PROGRESS_INTERVAL` is reported."""
        if held.end_reported:
            return
        first = held.unsent_progress is None
        held.unsent_progress = Progress(
            held.work.id, held.work.attempt, fraction if 0 <= fraction <= 1 else 0.0, message
        )
        if first:
            self._loop.call_soon_threadsafe(self._loop.call_later, PROGRESS_INTERVAL, self._report_progress, held)

    def _report_progress(self, held: HeldTask) -> None:
        progress, held.unsent_progress = held.unsent_progress, None
        if progress is not None:
            held.queue.reports.add(progress)
