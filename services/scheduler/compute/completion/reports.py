"""Reports of workers, from the bus into the tables.

Batches form by themselves: whatever arrived while the last transaction ran is the next one, so that one task alone pays
nothing. The reports are acknowledged after the commit and never before; a report that comes twice finds its task ended.
"""

import contextlib
from collections.abc import Sequence
from functools import partial

import asyncpg
import msgspec
from nats.aio.msg import Msg

from services.scheduler.compute.completion import of_sites, store
from services.scheduler.compute.completion.batch import Batch
from services.scheduler.compute.completion.completions import Completions
from services.scheduler.compute.completion.failures import Failures
from services.scheduler.compute.task_events import MOST, emit_changes
from services.scheduler.compute.tasks import logs
from services.scheduler.ports import Dispatch
from shared.bus.client import Bus
from shared.bus.pull import Pull
from shared.contracts import subjects
from shared.contracts.events import TaskProgress
from shared.contracts.topology import REPORTS
from shared.contracts.work import Completed, Failed, Progress, ReportBatch, Started
from shared.db.pool import AWAY, RETRYABLE
from shared.db.sql import Db
from shared.runtime.log import log
from shared.runtime.retry import Backoff, retry
from shared.service.middleware.poison import bury, guard
from shared.service.unit import Units

MESSAGES = 200
"""Messages in a batch, at most."""

_decode = msgspec.json.Decoder(ReportBatch).decode
_POISON = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError, ValueError)


class Reports:
    """The consumer of REPORTS in this process. `pool`: as that of Completions."""

    def __init__(
        self, bus: Bus, pool: Db, units: Units, dispatch: Dispatch, completions: Completions, failures: Failures
    ) -> None:
        self._bus, self._pool, self._units, self._dispatch = bus, pool, units, dispatch
        self._completions, self._failures = completions, failures
        # Requests are short, so that those of a process that is frozen do not swallow reports for long.
        self._pull = Pull(bus, REPORTS.name, "schedulers", batch=1000, expires=2.0, renew=True, rank=dispatch.rank)

    async def run(self) -> None:
        """Takes reports until stopped."""
        await self._pull.start()
        while messages := await self._pull.take(MESSAGES):
            try:
                await self._take(messages)
            except Exception as error:  # a surprise: report by report, so that it concerns as few as it can
                log.error("release.failed", error=repr(error), messages=len(messages), exc_info=True)
                for message in messages:
                    await guard(self._bus, self._pull, message, REPORTS.name, partial(self._take, [message]))

    async def stop(self) -> None:
        """No more are taken; `run` ends when those in hand are stored."""
        await self._pull.stop()

    async def _take(self, messages: Sequence[Msg]) -> None:
        good: list[tuple[Msg, ReportBatch]] = []
        for message in messages:
            try:
                good.append((message, _decode(message.data)))
            except msgspec.MsgspecError as error:
                await bury(self._bus, self._pull, message, REPORTS.name, f"not a report: {error}")
        if sites := self._dispatch.of_sites():
            good = await of_sites.own(self._pool, good, sites)
        if not good:
            return
        if len(good) > 1 and sum(map(_ids, good)) > MOST:  # the frame of it has to fit in a message
            half = len(good) // 2
            await self._take([message for message, _ in good[:half]])
            await self._take([message for message, _ in good[half:]])
            return
        try:
            await self.store([batch for _, batch in good])
        except _POISON:
            if len(good) == 1:
                message, batch = good[0]
                if why := await self._store_singly(batch):
                    await bury(self._bus, self._pull, message, REPORTS.name, why)
                    return
            else:
                for message, _ in good:  # one of them: find out which
                    await self._take([message])
                return
        for message, _ in good:
            await self._pull.ack(message)

    async def store(self, batches: Sequence[ReportBatch]) -> None:
        """Those that started, those that completed, those that failed, each in a transaction; again while the database is away."""

        def failed(error: BaseException, tries: int) -> None:
            log.warning("reports.commit_retried", error=repr(error), tries=tries)
            self._dispatch.suspend()  # if only the answer was lost, tasks stand as chosen that nobody has sent

        async def commit() -> None:
            await self._commit(Batch(batches))

        await retry(commit, on=(*AWAY, *RETRYABLE), backoff=Backoff(first=0.05, ceiling=2), failed=failed)

    async def _store_singly(self, batch: ReportBatch) -> str:
        """Stores the reports of a message one by one. A task whose report cannot be stored fails. Returns why, if any."""
        why = ""
        for report in batch.reports:
            try:
                await self.store([ReportBatch(batch.worker, [report])])
            except _POISON as error:
                why = f"{type(error).__name__}: {error}"
                text = f"its worker's report cannot be stored: {why}"
                with contextlib.suppress(*_POISON):
                    await self.store([ReportBatch(batch.worker, [Failed(report.task, report.attempt, "error", text)])])
        return why

    async def _commit(self, batch: Batch) -> None:
        if batch.logged:  # first: who sees that a task has ended finds all that it printed
            await logs.keep(self._pool, self._bus, batch.logged)
        if batch.started:
            await self._start(list(batch.started.values()))
        if batch.completed:
            await self._completions.complete(batch)
        for report, worker in batch.parents:
            await self._completions.complete_parent(report, worker)
        if batch.returned:
            await self._failures.give_back(batch.returned, batch.workers)
        if batch.failed:
            await self._failures.fail(batch.failed, batch.workers)
        for progress in batch.progress:
            await self._publish_progress(progress)

    async def _start(self, reports: Sequence[Started]) -> None:
        reports = sorted(reports, key=lambda report: report.task)
        tasks, attempts = [report.task for report in reports], [report.attempt for report in reports]
        async with self._units.begin() as unit:
            rows = await store.start_tasks(unit.connection, tasks, attempts, [report.worker for report in reports])
            emit_changes(unit, "started", rows)

    async def _publish_progress(self, progress: Progress) -> None:
        """Published for those who watch the session, and stored nowhere."""
        sessions = await logs.sessions_of(self._pool, [progress.task])
        for task, session in sessions.items():
            event = TaskProgress(session, task, progress.fraction, progress.message)
            await self._bus.send(subjects.event("task", "progress", session), event)


def _ids(entry: tuple[Msg, ReportBatch]) -> int:
    """How many tasks and results a frame of this message lists, at most."""
    return sum(1 + len(report.outputs) for report in entry[1].reports if isinstance(report, Completed))
