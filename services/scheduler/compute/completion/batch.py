"""Reports of many messages as one batch of columns: the last word on each task, in the order of ids."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from shared.contracts.compute import Value
from shared.contracts.work import Completed, Failed, Logged, Output, Progress, Report, ReportBatch, Started


class Batch:
    """What the reports say together. A task that was started and ended in the same batch has only ended."""

    def __init__(self, batches: Sequence[ReportBatch]) -> None:
        self.started: dict[UUID, Started] = {}
        self.completed: dict[UUID, Completed] = {}
        self.parents: list[tuple[Completed, str]] = []
        """Those that have created tasks or results, each with its worker: every report, for each names its own submission."""
        self.failed: list[Failed] = []
        self.returned: list[Failed] = []
        """Attempts that their workers gave back."""
        self.progress: list[Progress] = []
        self.logged: list[Logged] = []
        self.workers: dict[UUID, str] = {}
        for batch in batches:
            for report in batch.reports:
                self._add(report, batch.worker)

    def _add(self, report: Report, worker: str) -> None:
        if isinstance(report, Completed):
            self.started.pop(report.task, None)
            if report.submission is not None:
                self.parents.append((report, worker))
                return
            known = self.completed.get(report.task)
            if known is None or known.attempt < report.attempt:
                self.completed[report.task] = report
        elif isinstance(report, Failed):
            (self.returned if report.kind == "returned" else self.failed).append(report)
            self.workers[report.task] = worker
        elif isinstance(report, Started):
            if report.task not in self.completed:
                self.started[report.task] = report
        elif isinstance(report, Logged):
            self.logged.append(report)
        else:
            self.progress.append(report)

    def columns(self) -> tuple[list[Any], ...]:
        """tasks, attempts, numbers of outputs; outputs' ids, owners, sizes, data, objects."""
        reports = list(self.completed.values())
        outputs: list[tuple[Output, UUID]] = [(out, report.task) for report in reports for out in report.outputs]
        return (
            [report.task for report in reports],
            [report.attempt for report in reports],
            [len(report.outputs) for report in reports],
            [out.id for out, _ in outputs],
            [owner for _, owner in outputs],
            [out.size for out, _ in outputs],
            [out.data for out, _ in outputs],
            [out.object for out, _ in outputs],
        )

    def one(self) -> tuple[Any, ...] | None:
        """Of a task alone with one output: its id, attempt; the output's id, size, data, object."""
        if len(self.completed) != 1:
            return None
        (report,) = self.completed.values()
        if len(report.outputs) != 1:
            return None
        (out,) = report.outputs
        return report.task, report.attempt, out.id, out.size, out.data, out.object

    def checksums(self) -> tuple[list[UUID], list[str], list[str]]:
        """Of the objects whose workers say them: ids, keys, checksums. Mostly there are none."""
        told = [out for report in self.completed.values() for out in report.outputs if out.sha256 and out.object]
        return (
            [out.id for out in told],
            [out.object or "" for out in told],
            [out.sha256 or "" for out in told],
        )

    def seconds(self, rows: Sequence[Any]) -> list[tuple[int, str, float]]:
        """How long tasks took: partition, function, and one example of each. `rows`: what ended, as the statement told."""
        return [
            (row["partition"], row["function"], self.completed[row["id"]].seconds) for row in rows if row["kind"] == 1
        ]

    def values(self) -> dict[UUID, Value]:
        """The values reported, by id: who waited for them need not ask the database."""
        outputs = (out for report in self.completed.values() for out in report.outputs)
        return {out.id: Value(out.id, out.size, out.data, out.object) for out in outputs}
