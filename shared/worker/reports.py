"""Reports about one partition's tasks: those of one turn of the loop share a message, and what is stored is acknowledged.

A message of tasks is acknowledged as soon as the bus has stored a report of each task in it.
"""

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any

import msgspec

from shared.bus.client import Bus
from shared.bus.publish import PubAck
from shared.contracts import subjects
from shared.contracts.errors import HeadraceError, Invalid, Unavailable
from shared.contracts.topology import MESSAGE_LIMIT
from shared.contracts.work import Completed, Failed, Logged, Progress, Report, ReportBatch
from shared.runtime.log import log
from shared.worker.delivery import Delivery

Pending = tuple[Report, Delivery | None]
"""A report, and the message that is to be acknowledged when this report and those of its other tasks are stored."""

TURNS = 2
"""Turns of the loop in which messages that have come become tasks, and those end."""
TOGETHER = 400
"""Reports that go at once: each message is a transaction of the scheduler's, so few and large ones cost the least."""


class Reports:
    """Publishes what becomes of the tasks of one partition. `unstored_messages`: those that the bus has not confirmed yet."""

    def __init__(self, bus: Bus, worker: str, partition: str) -> None:
        self._bus, self._worker = bus, worker
        self._subject = subjects.report(partition)
        self._pending: list[Pending] = []
        self._flushing = False
        self._context = contextvars.copy_context()
        self._asyncio_tasks: set[asyncio.Task[None]] = set()
        self.unstored_messages = 0
        self._awaited: dict[int, asyncio.Future[None]] = {}
        self._stored = asyncio.Event()

    def add(self, report: Report, delivery: Delivery | None = None) -> None:
        """Publishes a report with those of this turn of the loop. `delivery`: the message that waits for it to be stored."""
        self._pending.append((report, delivery))
        if not self._flushing:
            self._flushing = True
            self._spawn(self._flush())

    async def add_and_wait(self, report: Report, delivery: Delivery | None) -> None:
        """Publishes a report and returns when the bus has stored it; raises HeadraceError if it does not."""
        done = self._awaited[id(report)] = asyncio.get_running_loop().create_future()
        self.add(report, delivery)
        try:
            await done
        finally:
            del self._awaited[id(report)]

    async def until_stored(self, timeout: float) -> None:
        """Waits until the bus has stored all reports, for at most `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self._pending or self.unstored_messages:
                    self._stored.clear()
                    await self._stored.wait()
        except TimeoutError:
            log.warning("worker.reports_unstored", count=self.unstored_messages)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        # Not in the context of the task that ends here: what its code has set there would live on.
        task = asyncio.get_running_loop().create_task(work, context=self._context.copy())
        self._asyncio_tasks.add(task)
        task.add_done_callback(self._asyncio_tasks.discard)

    async def _flush(self) -> None:
        ended = 0
        while ended < len(self._pending) < TOGETHER:  # what ends in the same turns of the loop rides along
            ended = len(self._pending)
            for _ in range(TURNS):
                await asyncio.sleep(0)
        pending, self._pending, self._flushing = self._pending, [], False
        for part in _parts(pending):
            if (data := self._encoded(part)) is None:
                continue
            try:
                future = await self._bus.send(self._subject, data)
            except HeadraceError as error:
                log.error("worker.report_refused", reports=len(part), error=repr(error))
                self._fail_refused(part, error)
                continue
            self.unstored_messages += 1
            future.add_done_callback(lambda done, part=part: self._on_stored(part, done))  # type: ignore[misc]

    def _encoded(self, part: list[Pending]) -> bytes | None:
        """The message as JSON; None if one of its reports cannot be encoded: then its task fails, and the others are added again."""
        try:
            return msgspec.json.encode(ReportBatch(self._worker, [report for report, _ in part]))
        except Exception:
            for report, delivery in part:
                try:
                    msgspec.json.encode(report)
                except Exception as fault:
                    log.error("worker.report_refused", reports=1, error=repr(fault))
                    self._wake_waiter(report, Invalid(str(fault)))
                    if isinstance(report, Completed | Failed):
                        reason = f"its end could not be reported: {type(fault).__name__}"
                        self.add(Failed(report.task, report.attempt, "error", reason), delivery)
                else:
                    self.add(report, delivery)
            return None

    def _fail_refused(self, part: list[Pending], error: HeadraceError) -> None:
        """The bus will never take this message: its tasks fail, as otherwise they would run for ever."""
        for report, delivery in part:
            self._wake_waiter(report, error)
            if isinstance(report, Completed):
                reason = f"its outputs could not be reported: {error}"
                self.add(Failed(report.task, report.attempt, "error", reason), delivery)

    def _wake_waiter(self, report: Report, error: HeadraceError | None = None) -> None:
        """Ends `add_and_wait` for this report."""
        waiting = self._awaited.get(id(report))
        if waiting is None or waiting.done():
            return
        if error is None:
            waiting.set_result(None)
        else:
            waiting.set_exception(error)

    def _on_stored(self, part: list[Pending], done: "asyncio.Future[PubAck]") -> None:
        self.unstored_messages -= 1
        self._stored.set()
        if done.cancelled() or done.exception() is not None:
            for report, _ in part:
                self._wake_waiter(report, Unavailable("the bus did not store that it has begun"))
            return  # not acknowledged: the bus delivers the tasks again
        for report, delivery in part:
            if self._awaited:
                self._wake_waiter(report)
            if delivery is not None:
                delivery.unreported -= 1
                if delivery.unreported == 0:
                    self._spawn(delivery.ack())


def _parts(pending: list[Pending]) -> list[list[Pending]]:
    """Cuts reports into parts that fit in a message each."""
    parts: list[list[Pending]] = [[]]
    size = 0
    for report, delivery in pending:
        own = 400
        if isinstance(report, Completed):
            for output in report.outputs:
                own += 160 + len(output.data or b"") * 4 // 3
        elif isinstance(report, Failed | Progress):
            own += 6 * len(report.message)  # all of it may have to be escaped
        elif isinstance(report, Logged):
            own += 4 * len(report.text)  # no control characters: two bytes where escaped, four at most as UTF-8
        if parts[-1] and size + own > MESSAGE_LIMIT:
            parts.append([])
            size = 0
        parts[-1].append((report, delivery))
        size += own
    return parts
