"""Attempts that end without outputs: they failed, were lost, stopped or given back, or what they needed was aborted."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from services.scheduler.compute.completion import store
from services.scheduler.compute.completion.store import ABORTED, FAILED, STOPPING, of_kind
from services.scheduler.compute.sessions.closing import Closing
from services.scheduler.compute.task_events import by_partition, emit_changes
from services.scheduler.ports import Dispatch
from services.scheduler.spans import result_span, task_span
from shared.contracts.states import TaskStatus
from shared.contracts.work import Failed
from shared.db.sql import Db, Row
from shared.runtime.log import log
from shared.runtime.plain import plain
from shared.service.unit import Unit, Units

LONGEST = 4000
"""Characters of an error that are kept."""


class Failures:
    """`ports.Attempts`. `pool`: as that of Completions."""

    def __init__(self, pool: Db, units: Units, dispatch: Dispatch, closing: Closing) -> None:
        self._pool, self._units, self._dispatch, self._closing = pool, units, dispatch, closing

    async def fail(self, reports: Sequence[Failed], workers: dict[UUID, str]) -> None:
        """Ends tasks without results. Lost ones get another attempt while they have retries left. `workers`: by task."""
        await self.confirm_stopped([(report.task, report.attempt) for report in reports])
        reports = sorted((report for report in reports if report.kind != "cancelled"), key=lambda report: report.task)
        if not reports:
            return
        async with self._units.begin() as unit:
            retried = await self._retry(unit, [report for report in reports if report.kind == "lost"], workers)
            again = {row["id"] for row in retried}
            final = [report for report in reports if report.task not in again]
            rows = await store.end_tasks(
                unit.connection,
                [report.task for report in final],
                [report.attempt for report in final],
                [int(TaskStatus.TIMEOUT if report.kind == "timeout" else TaskStatus.ERROR) for report in final],
                [_reason(report) for report in final],
            )
            _emit_ends(unit, rows)
        for row in rows:
            self._closing.touch(str(row["session"]))
        # Those that failed because what they need was aborted were never outstanding.
        named = {report.task for report in final}
        ended = by_partition(row for row in of_kind(rows, FAILED) if row["id"] in named) + by_partition(retried)
        await self._dispatch.count_ended(ended)
        await self._dispatch.wake()

    async def _retry(self, unit: Unit, lost: Sequence[Failed], workers: dict[UUID, str]) -> list[Row]:
        if not lost:
            return []
        rows = await store.retry_tasks(unit.connection, *_columns(lost, workers))
        emit_changes(unit, "retried", rows)
        return rows

    async def give_back(self, reports: Sequence[Failed], workers: dict[UUID, str]) -> None:
        """Attempts that their workers could not run are set aside, as new ones that use up no retry."""
        await self.confirm_stopped([(report.task, report.attempt) for report in reports])
        reports = sorted(reports, key=lambda report: report.task)  # rows are locked in the order of ids, everywhere
        async with self._units.begin() as unit:
            rows = await self._dispatch.set_aside(unit, *_columns(reports, workers))
            emit_changes(unit, "retried", rows)
        log.info("tasks.given_back", count=len(rows), workers=sorted({row["worker"] for row in rows}))
        again = {row["id"] for row in rows}
        if left := [report for report in reports if report.task not in again]:
            await self._cancel_unrun(left)

    async def _cancel_unrun(self, reports: Sequence[Failed]) -> None:
        """Given back in sessions that run nothing any more: what is still open of them is cancelled."""
        rows = await store.still_open(self._pool, [report.task for report in reports])
        current = {row["id"]: row["attempt"] for row in rows}
        reports = [report for report in reports if current.get(report.task) == report.attempt]
        if reports:
            await self.cancel_unstarted([report.task for report in reports])
            await self.confirm_stopped([(report.task, report.attempt) for report in reports])

    async def cancel_unstarted(self, tasks: Sequence[UUID]) -> None:
        """Held without having begun, in sessions that have ended: they are CANCELLING until `confirm_stopped`."""
        n = len(tasks)
        async with self._units.begin() as unit:
            rows = await store.end_tasks(
                unit.connection, tasks, [None] * n, [int(TaskStatus.CANCELLED)] * n, ["its session has ended"] * n
            )
            emit_changes(unit, "cancelling", of_kind(rows, STOPPING))
            emit_changes(unit, "aborted", of_kind(rows, ABORTED))

    async def confirm_stopped(self, attempts: Sequence[tuple[UUID, int]]) -> None:
        """The last report about these attempts has come: those that were CANCELLING are CANCELLED."""
        attempts = sorted(attempts)
        async with self._units.begin() as unit:
            rows = await store.confirm_stopped(
                unit.connection, [task for task, _ in attempts], [n for _, n in attempts]
            )
            emit_changes(unit, "cancelled", rows)
        await self._dispatch.count_ended(by_partition(rows))

    async def results_aborted(self, unit: Unit, results: Sequence[UUID], why: str) -> None:
        """Ends what waits for results that will never have a value: they are ABORTED by now, in the same transaction."""
        waiting = await store.waiting_for(unit.connection, results)
        await self._end(unit, waiting, [_needs(row["result"], f": {why}") for row in waiting])

    async def fail_stranded(self, unit: Unit, submission: UUID) -> None:
        """Ends tasks of a submission that came after a result of it, which they need, had been aborted.

        An earlier chunk's task fails before the last chunk when what it waits for elsewhere is aborted.
        """
        (_, last), (_, last_result) = task_span(submission), result_span(submission)
        rows = await store.stranded_tasks(unit.connection, submission, last, last_result)
        because = [f" because of task {row['owner']}" if row["owner"] else "" for row in rows]
        await self._end(unit, rows, [_needs(row["result"], why) for row, why in zip(rows, because, strict=True)])

    async def _end(self, unit: Unit, tasks: Sequence[Row], errors: Sequence[str]) -> None:
        if not tasks:
            return
        names, attempts = [row["id"] for row in tasks], [row["attempt"] for row in tasks]
        statuses = [int(TaskStatus.ERROR)] * len(tasks)
        _emit_ends(unit, await store.end_tasks(unit.connection, names, attempts, statuses, errors))


def _emit_ends(unit: Unit, rows: Sequence[Row]) -> None:
    emit_changes(unit, "failed", of_kind(rows, FAILED))
    emit_changes(unit, "aborted", of_kind(rows, ABORTED))


def _columns(reports: Sequence[Failed], workers: dict[UUID, str]) -> tuple[list[Any], ...]:
    """Tasks, attempts, workers, reasons."""
    return (
        [report.task for report in reports],
        [report.attempt for report in reports],
        [workers.get(report.task, "") for report in reports],
        [_reason(report) for report in reports],
    )


def _reason(report: Failed) -> str:
    """Why it failed, as a column can hold it."""
    return report.message[:LONGEST].replace("\x00", "\\x00")


def _needs(result: UUID, why: str) -> str:
    """The error of a task that needs an aborted result, as the function `end_v1` words it."""
    return plain(f"it needs result {result}, which was aborted{why}"[:LONGEST])
