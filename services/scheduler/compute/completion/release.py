"""Release: reports come in, tasks end, those that waited for them go out.

Batches form by themselves: whatever arrived while the last transaction ran is the next one, so that one task alone pays
nothing. The reports are acknowledged after the commit and never before; a report that comes twice finds its task ended.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from nats.aio.msg import Msg

from services.scheduler import store
from services.scheduler.compute.completion.batch import Batch
from services.scheduler.compute.sessions.closing import Closing
from services.scheduler.compute.tasks import logs
from services.scheduler.ports import Dispatch
from shared.bus.client import Bus
from shared.bus.pull import Pull
from shared.contracts import subjects
from shared.contracts.events import Frame, TaskProgress
from shared.contracts.states import TaskStatus
from shared.contracts.topology import REPORTS
from shared.contracts.work import Completed, Failed, ReportBatch
from shared.db.pool import AWAY, RERUN
from shared.runtime.log import log
from shared.runtime.plain import plain
from shared.runtime.retry import Backoff, retry
from shared.service.middleware.poison import bury, guard
from shared.service.outbox import Relay
from shared.service.unit import Unit, Units

Q = store.Q
MESSAGES = 200
OUTPUTS = 8_000
"""Most ids of a batch, so that its frame fits in a message."""
ENDED, CHOSEN, EVENT, ABORTED, FAILED, STOPPING, AGAIN = 1, 3, 4, 5, 6, 7, 8
"""The kinds of row that the functions of the migrations return."""

_decode = msgspec.json.Decoder(ReportBatch).decode
_POISON = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError, ValueError)


class Release:
    """The completer. `pool` has connections whose planner settings keep the statements from scanning grown tables."""

    def __init__(
        self, bus: Bus, pool: "asyncpg.Pool[Any]", units: Units, dispatch: Dispatch, relay: Relay, closing: Closing
    ) -> None:
        self._bus, self._pool, self._units, self._dispatch, self._relay = bus, pool, units, dispatch, relay
        self._closing = closing
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
        await self._pull.stop()

    async def _take(self, messages: Sequence[Msg]) -> None:
        good: list[tuple[Msg, ReportBatch]] = []
        for message in messages:
            try:
                good.append((message, _decode(message.data)))
            except msgspec.MsgspecError as error:
                await bury(self._bus, self._pull, message, REPORTS.name, f"not a report: {error}")
        if not good:
            return

        if len(good) > 1 and sum(map(_outputs, good)) > OUTPUTS:  # what is told of it has to fit in a message
            half = len(good) // 2
            await self._take([message for message, _ in good[:half]])
            await self._take([message for message, _ in good[half:]])
            return
        try:
            await self._store([batch for _, batch in good])
        except _POISON:
            if len(good) == 1:
                message, batch = good[0]
                if why := await self._singly(batch):
                    await bury(self._bus, self._pull, message, REPORTS.name, why)
                    return
            else:
                for message, _ in good:  # one of them: find out which
                    await self._take([message])
                return
        for message, _ in good:
            await self._pull.ack(message)

    async def _store(self, batches: Sequence[ReportBatch]) -> None:
        """Those that started, those that completed, those that failed, each in a transaction; again while the database is away."""

        def tell(error: BaseException, tries: int) -> None:
            log.warning("release.again", error=repr(error), tries=tries)
            self._dispatch.doubt()  # if only the answer was lost, tasks stand as chosen that nobody has sent

        async def commit() -> None:
            await self._commit(Batch(batches))

        await retry(commit, on=(*AWAY, *RERUN), backoff=Backoff(first=0.05, ceiling=2), failed=tell)

    async def _singly(self, batch: ReportBatch) -> str:
        """Stores the reports of a message one by one. A task whose report cannot be stored fails. Returns why, if any."""
        why = ""
        for report in batch.reports:
            try:
                await self._store([ReportBatch(batch.worker, [report])])
            except _POISON as error:
                why = f"{type(error).__name__}: {error}"
                text = f"its worker's report cannot be stored: {why}"
                with contextlib.suppress(*_POISON):
                    await self._store([ReportBatch(batch.worker, [Failed(report.task, report.attempt, "error", text)])])
        return why

    async def _commit(self, batch: Batch) -> None:
        if batch.logged:  # first: who sees that a task has ended finds all that it printed
            await logs.keep(self._pool, self._bus, batch.logged)
        if batch.started:
            await self._start(batch)
        if batch.completed:
            await self._complete(batch)
        for report, worker in batch.parents:
            await self._complete_parent(report, worker)
        if batch.returned:
            await self._give_back(batch.returned, batch.workers)
        if batch.failed:
            await self.fail(batch.failed, batch.workers)
        for progress in batch.progress:
            await self._progress(progress.task, progress.fraction, progress.message)

    async def _complete(self, batch: Batch) -> None:
        checksums = batch.checksums()
        if checksums[0]:
            async with self._pool.acquire() as db, db.transaction():
                rows = await db.fetch(Q["complete"], *batch.columns(), *self._dispatch.credits())
                await db.execute(Q["keep_checksums"], *checksums)
        elif (one := batch.one()) is not None:
            rows = await self._pool.fetch(Q["complete_one"], *one, *self._dispatch.credits())
        else:  # one round trip, which is what nearly all tasks take
            rows = await self._pool.fetch(Q["complete"], *batch.columns(), *self._dispatch.credits())
        await self.after(rows, batch)
        if sum(row["number"] for row in rows if row["kind"] == ENDED) < len(batch.completed):
            await self._wrong(batch)

    async def _complete_parent(self, report: Completed, worker: str) -> None:
        """A task that has created tasks or results. What they are not fit for fails it, with nothing of them left to be seen."""
        outputs = report.outputs
        try:
            rows = await self._pool.fetch(
                Q["complete_parent"],
                report.task,
                report.attempt,
                report.submission,
                [out.id for out in outputs],
                [out.size for out in outputs],
                [out.data for out in outputs],
                [out.object for out in outputs],
                [out.sha256 for out in outputs],
                *self._dispatch.credits(),
            )
        except asyncpg.RaiseError as error:
            why = f"what it submitted cannot become real: {error}"
            await self.fail([Failed(report.task, report.attempt, "error", why)], {report.task: worker})
            return
        await self.after(rows, Batch([ReportBatch(worker, [msgspec.structs.replace(report, submission=None)])]))
        if rows:
            await self._dispatch.wake()
        else:  # it does not count
            await self._stopped([(report.task, report.attempt)])

    async def after(
        self,
        rows: Sequence[Any],
        batch: Batch | None = None,
    ) -> None:
        """What follows a commit: publish what was released and told, note what has ended. `batch`: what was reported."""
        chosen = [row for row in rows if row["kind"] == CHOSEN]
        if chosen:
            await self._dispatch.chosen(chosen, batch.values() if batch else {})
        ended: dict[int, int] = {}
        for row in rows:
            if row["kind"] == ENDED:
                ended[row["partition"]] = ended.get(row["partition"], 0) + row["number"]
        await self._dispatch.ended(ended, batch.seconds(rows) if batch else ())
        events = [row for row in rows if row["kind"] == EVENT]
        for row in events:
            self._closing.touch(row["subject"].rpartition(".")[2])
        await self._relay.push((row["number"], row["subject"], row["payload"], "") for row in events)

    def follow(self, unit: Unit, rows: Sequence[Any]) -> None:
        """`after`, when the unit has committed. If it says that it has not, it may have all the same: see `_store`."""
        unit.after.append(lambda: self.after(rows))
        if any(row["kind"] == CHOSEN for row in rows):
            unit.undone.append(self._doubt)

    async def _doubt(self) -> None:
        self._dispatch.doubt()

    async def count_down(self, db: Any, results: Sequence[UUID]) -> list[Any]:
        """Results were completed by somebody who is no task: in the transaction `db`, release who waits for them."""
        rows: list[Any] = await db.fetch(Q["count_down"], list(results), *self._dispatch.credits())
        return rows

    async def _wrong(self, batch: Batch) -> None:
        """Reports that did not count: late ones are dropped, one without all its outputs fails its task."""
        reports = list(batch.completed.values())
        await self._stopped([(report.task, report.attempt) for report in reports])
        failed = []
        for row in await self._pool.fetch(Q["still_open"], list(batch.completed)):
            report = batch.completed[row["id"]]
            if report.attempt == row["attempt"]:
                text = f"reported {len(report.outputs)} outputs, {row['outputs']} are expected"
                failed.append(Failed(report.task, report.attempt, "error", text))
        if failed:
            await self.fail(failed, batch.workers)

    async def _stopped(self, told: Sequence[tuple[UUID, int]]) -> None:
        """The last word on these attempts has come: those that were CANCELLING are cancelled."""
        told = sorted(told)
        async with self._units.begin() as unit:
            rows = await unit.connection.fetch(Q["stopped"], [task for task, _ in told], [n for _, n in told])
            tell(unit, "cancelled", rows)
        await self._dispatch.ended(by_partition(rows))

    async def let_go(self, tasks: Sequence[UUID]) -> None:
        """Held without having begun, in sessions that have ended: they are CANCELLING until the last word on them."""
        n = len(tasks)
        async with self._units.begin() as unit:
            rows = await unit.connection.fetch(
                Q["fail"], tasks, [None] * n, [int(TaskStatus.CANCELLED)] * n, ["its session has ended"] * n
            )
            tell(unit, "cancelling", [row for row in rows if row["kind"] == STOPPING])
            tell(unit, "aborted", [row for row in rows if row["kind"] == ABORTED])

    async def _give_back(self, reports: Sequence[Failed], workers: dict[UUID, str]) -> None:
        """Attempts that their workers could not run are set aside, as new ones that use up no retry (see `Placement`)."""
        await self._stopped([(report.task, report.attempt) for report in reports])
        reports = sorted(reports, key=lambda report: report.task)  # rows are locked in the order of ids, everywhere
        async with self._units.begin() as unit:
            rows = await self._dispatch.set_aside(
                unit,
                [report.task for report in reports],
                [report.attempt for report in reports],
                [workers.get(report.task, "") for report in reports],
                [_said(report) for report in reports],
            )
            tell(unit, "retried", rows)
        log.info("tasks.given_back", count=len(rows), workers=sorted({row["worker"] for row in rows}))
        again = {row["id"] for row in rows}
        if left := [report for report in reports if report.task not in again]:
            await self._cancel_unrun(left)

    async def _cancel_unrun(self, reports: Sequence[Failed]) -> None:
        """Given back in sessions that run nothing any more: what is still open of them is cancelled."""
        rows = await self._pool.fetch(Q["still_open"], [report.task for report in reports])
        current = {row["id"]: row["attempt"] for row in rows}
        reports = [report for report in reports if current.get(report.task) == report.attempt]
        if reports:
            await self.let_go([report.task for report in reports])
            await self._stopped([(report.task, report.attempt) for report in reports])

    async def fail(self, reports: Sequence[Failed], workers: dict[UUID, str]) -> None:
        """Ends tasks without results. Lost ones get another attempt while they have retries left."""
        await self._stopped([(report.task, report.attempt) for report in reports])
        reports = sorted((report for report in reports if report.kind != "cancelled"), key=lambda report: report.task)
        if not reports:
            return
        async with self._units.begin() as unit:
            db = unit.connection
            lost = [report for report in reports if report.kind == "lost"]
            rows = (
                await db.fetch(
                    Q["retry_tasks"],
                    [report.task for report in lost],
                    [report.attempt for report in lost],
                    [workers.get(report.task, "") for report in lost],
                    [_said(report) for report in lost],
                )
                if lost
                else []
            )
            again, counts = {row["id"] for row in rows}, by_partition(rows)
            tell(unit, "retried", rows)
            final = [report for report in reports if report.task not in again]
            rows = await db.fetch(
                Q["fail"],
                [report.task for report in final],
                [report.attempt for report in final],
                [int(TaskStatus.TIMEOUT if report.kind == "timeout" else TaskStatus.ERROR) for report in final],
                [_said(report) for report in final],
            )
            tell(unit, "failed", [row for row in rows if row["kind"] == FAILED])
            tell(unit, "aborted", [row for row in rows if row["kind"] == ABORTED])
        for row in rows:
            self._closing.touch(str(row["session"]))
        # Those that failed because what they need was aborted were never outstanding.
        named = {report.task for report in final}
        counts_now = by_partition(row for row in rows if row["kind"] == FAILED and row["id"] in named)
        for number, n in counts.items():
            counts_now[number] += n
        await self._dispatch.ended(counts_now)
        await self._dispatch.wake()

    async def fail_stranded(self, unit: Unit, submission: UUID) -> None:
        """Ends tasks of a submission that came after a result of it, which they need, had been aborted.

        An earlier chunk's task fails before the last chunk when what it waits for elsewhere is aborted.
        """
        db, (_, last) = unit.connection, store.span(submission)
        await db.execute(Q["hold_inner"], submission, last, store.result_span(submission)[1])
        stranded = await db.fetch(Q["stranded"], submission, last, store.result_span(submission)[1])
        if not stranded:
            return
        n = len(stranded)
        rows = await db.fetch(
            Q["fail"],
            [row["id"] for row in stranded],
            [row["attempt"] for row in stranded],
            [int(TaskStatus.ERROR)] * n,
            [_aborted(row["result"], f" because of task {row['owner']}" if row["owner"] else "") for row in stranded],
        )
        tell(unit, "failed", [row for row in rows if row["kind"] == FAILED])
        tell(unit, "aborted", [row for row in rows if row["kind"] == ABORTED])

    async def abort(self, unit: Unit, results: Sequence[UUID], why: str) -> None:
        """Ends what waits for results that will never have a value: they are ABORTED by now, in the same transaction."""
        waiting = await unit.connection.fetch(Q["waiting_for"], results)
        if not waiting:
            return
        n = len(waiting)
        rows = await unit.connection.fetch(
            Q["fail"],
            [row["id"] for row in waiting],
            [row["attempt"] for row in waiting],
            [int(TaskStatus.ERROR)] * n,
            [_aborted(row["result"], f": {why}") for row in waiting],
        )
        tell(unit, "failed", [row for row in rows if row["kind"] == FAILED])
        tell(unit, "aborted", [row for row in rows if row["kind"] == ABORTED])

    async def _start(self, batch: Batch) -> None:
        async with self._units.begin() as unit:
            started = sorted(batch.started.values(), key=lambda report: report.task)
            rows = await unit.connection.fetch(
                Q["start_tasks"],
                [report.task for report in started],
                [report.attempt for report in started],
                [report.worker for report in started],
            )
            tell(unit, "started", rows)

    async def _progress(self, task: UUID, fraction: float, message: str) -> None:
        for row in await self._pool.fetch(Q["sessions_of_tasks"], [task]):
            told = TaskProgress(row["session"], task, fraction, message)
            await self._bus.send(subjects.event("task", "progress", row["session"]), told)


def by_partition(rows: Iterable[Any]) -> Counter[int]:
    """How many rows of each partition."""
    return Counter(row["partition"] for row in rows)


def _said(report: Failed) -> str:
    """Why it failed, as a column can hold it."""
    return report.message[:4000].replace("\x00", "\\x00")


def _outputs(entry: tuple[Msg, ReportBatch]) -> int:
    return sum(1 + len(report.outputs) for report in entry[1].reports if isinstance(report, Completed))


def tell(unit: Any, name: str, rows: Sequence[Any]) -> None:
    """Frames, by session."""
    sessions: dict[UUID, list[UUID]] = {}
    for row in rows:
        sessions.setdefault(row["session"], []).append(row["id"])
    for session, tasks in sessions.items():
        for start in range(0, len(tasks), OUTPUTS):
            frame = msgspec.structs.replace(Frame(session), **{name: tasks[start : start + OUTPUTS]})
            unit.emit(subjects.event("task", "changed", session), frame)


def _aborted(result: UUID, why: str) -> str:
    """The error of a task that needs it, as `end_v1` words it."""
    return plain(f"it needs result {result}, which was aborted{why}"[:4000])
