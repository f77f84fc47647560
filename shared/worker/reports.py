"""Reports of a loop's turn ride together; a message of tasks is acknowledged once the bus has stored what became of them."""

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from shared.bus.client import Bus
from shared.bus.publish import PubAck
from shared.bus.pull import Pull
from shared.contracts import subjects
from shared.contracts.errors import HeadraceError, Invalid, Unavailable
from shared.contracts.topology import MESSAGE_LIMIT
from shared.contracts.work import Completed, Failed, Logged, Progress, Report, ReportBatch
from shared.runtime.log import log

if TYPE_CHECKING:
    from shared.worker.holding import Parcel

TURNS = 2
"""Turns of the loop in which messages that have come become tasks, and those end."""
TOGETHER = 400
"""Reports that go at once: each message is a transaction of the scheduler's, so few and large ones cost the least."""


class Reports:
    """What a worker says of one partition's tasks."""

    def __init__(self, bus: Bus, pull: Pull, worker: str, partition: str) -> None:
        self._bus, self._pull, self._worker = bus, pull, worker
        self._subject = subjects.report(partition)
        self._pending: list[tuple[Report, Parcel | None]] = []
        self._flushing = False
        self._context = contextvars.copy_context()
        self._tasks: set[asyncio.Task[None]] = set()
        self._unstored = 0
        self._awaited: dict[int, asyncio.Future[None]] = {}
        self._stored = asyncio.Event()

    def add(self, report: Report, parcel: "Parcel | None" = None) -> None:
        """Reports soon. `parcel`: the message that waits for this to be stored, if it does."""
        self._pending.append((report, parcel))
        if not self._flushing:
            self._flushing = True
            self._spawn(self._flush())

    async def stored(self, report: Report, parcel: "Parcel | None") -> None:
        """Reports, and waits until the bus has stored it."""
        done = self._awaited[id(report)] = asyncio.get_running_loop().create_future()
        self.add(report, parcel)
        try:
            await done
        finally:
            del self._awaited[id(report)]

    async def drained(self, timeout: float) -> None:
        """Waits until everything reported is stored."""
        try:
            async with asyncio.timeout(timeout):
                while self._pending or self._unstored:
                    self._stored.clear()
                    await self._stored.wait()
        except TimeoutError:
            log.warning("worker.reports_unstored", count=self._unstored)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        # Not in the context of the task that ends here: what its code has set there would live on.
        task = asyncio.get_running_loop().create_task(work, context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _flush(self) -> None:
        ended = 0
        while ended < len(self._pending) < TOGETHER:  # what ends in the same turns of the loop rides along
            ended = len(self._pending)
            for _ in range(TURNS):
                await asyncio.sleep(0)
        pending, self._pending, self._flushing = self._pending, [], False
        for part in _fit(pending):
            if (data := self._encoded(part)) is None:
                continue
            try:
                future = await self._bus.send(self._subject, data)
            except HeadraceError as error:
                log.error("worker.report_refused", reports=len(part), error=repr(error))
                self._replace(part, error)
                continue
            self._unstored += 1
            future.add_done_callback(lambda done, part=part: self._on_stored(part, done))  # type: ignore[misc]

    def _encoded(self, part: list[tuple[Report, "Parcel | None"]]) -> bytes | None:
        """The message; None if one of the reports cannot be said in JSON: its task fails, and the others are reported apart."""
        try:
            return msgspec.json.encode(ReportBatch(self._worker, [report for report, _ in part]))
        except Exception:
            for report, parcel in part:
                try:
                    msgspec.json.encode(report)
                except Exception as fault:
                    log.error("worker.report_refused", reports=1, error=repr(fault))
                    self._settle(report, Invalid(str(fault)))
                    if isinstance(report, Completed | Failed):
                        why = f"its end could not be reported: {type(fault).__name__}"
                        self.add(Failed(report.task, report.attempt, "error", why), parcel)
                else:
                    self.add(report, parcel)
            return None

    def _replace(self, part: list[tuple[Report, "Parcel | None"]], error: HeadraceError) -> None:
        """The bus will never take this: its tasks fail, or they would run for ever, and the waiting goes on."""
        for report, parcel in part:
            self._settle(report, error)
            if isinstance(report, Completed):
                why = f"its outputs could not be reported: {error}"
                self.add(Failed(report.task, report.attempt, "error", why), parcel)

    def _settle(self, report: Report, error: HeadraceError | None = None) -> None:
        """For those that wait in `stored`."""
        waiting = self._awaited.get(id(report))
        if waiting is None or waiting.done():
            return
        if error is None:
            waiting.set_result(None)
        else:
            waiting.set_exception(error)

    def _on_stored(self, part: list[tuple[Report, "Parcel | None"]], done: "asyncio.Future[PubAck]") -> None:
        self._unstored -= 1
        self._stored.set()
        if done.cancelled() or done.exception() is not None:
            for report, _ in part:
                self._settle(report, Unavailable("the bus did not store that it has begun"))
            return  # not acknowledged: the bus delivers the tasks again
        for report, parcel in part:
            if self._awaited:
                self._settle(report)
            if parcel is not None:
                parcel.untold -= 1
                if parcel.untold == 0:
                    self._spawn(self._pull.ack(parcel.message))


def _fit(pending: list[tuple[Report, "Parcel | None"]]) -> list[list[tuple[Report, "Parcel | None"]]]:
    """Cuts into parts that fit in a message each."""
    parts: list[list[tuple[Report, Parcel | None]]] = [[]]
    size = 0
    for report, parcel in pending:
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
        parts[-1].append((report, parcel))
        size += own
    return parts
