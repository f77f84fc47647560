"""Reports of many messages as one batch: the last report on each task counts."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from services.scheduler.compute.completion.store import ENDED
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

    def columns(self) -> dict[str, list[Any]]:
        """A list for each column, as `complete` takes them: one entry a task (tasks, attempts, counts: its outputs) or an output
        (outputs, owners: its task, sizes, data, objects)."""
        reports = list(self.completed.values())
        outputs: list[tuple[Output, UUID]] = [(out, report.task) for report in reports for out in report.outputs]
        return {
            "tasks": [report.task for report in reports],
            "attempts": [report.attempt for report in reports],
            "counts": [len(report.outputs) for report in reports],
            "outputs": [out.id for out, _ in outputs],
            "owners": [owner for _, owner in outputs],
            "sizes": [out.size for out, _ in outputs],
            "data": [out.data for out, _ in outputs],
            "objects": [out.object for out, _ in outputs],
        }

    def one(self) -> tuple[Completed, Output] | None:
        """The only report and its only output; None if there are more, or none."""
        if len(self.completed) != 1:
            return None
        (report,) = self.completed.values()
        return (report, report.outputs[0]) if len(report.outputs) == 1 else None

    def checksums(self) -> tuple[list[UUID], list[str], list[str]]:
        """Ids, keys and checksums of the stored objects whose checksums the workers report. Mostly there are none."""
        stored = [out for report in self.completed.values() for out in report.outputs if out.sha256 and out.object]
        return (
            [out.id for out in stored],
            [out.object or "" for out in stored],
            [out.sha256 or "" for out in stored],
        )

    def seconds(self, rows: Sequence[Any]) -> list[tuple[int, str, float]]:
        """How long tasks took, an example for each function: partition, function, seconds. `rows`: what `complete` returned."""
        return [
            (row["partition"], row["function"], self.completed[row["id"]].seconds)
            for row in rows
            if row["kind"] == ENDED
        ]

    def values(self) -> dict[UUID, Value]:
        """The values reported, by id: who waited for them need not ask the database."""
        outputs = (out for report in self.completed.values() for out in report.outputs)
        return {out.id: Value(out.id, out.size, out.data, out.object) for out in outputs}
