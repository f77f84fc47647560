"""Tasks that have made their outputs: both are completed, and who waited for them is released."""

import asyncpg
import msgspec

from services.scheduler.compute.completion import store
from services.scheduler.compute.completion.batch import Batch
from services.scheduler.compute.completion.failures import Failures
from services.scheduler.compute.completion.release import Release
from services.scheduler.compute.completion.store import ENDED
from services.scheduler.ports import Dispatch
from shared.contracts.work import Completed, Failed, ReportBatch
from shared.db.sql import Db


class Completions:
    """`pool` has connections whose planner settings keep the statements from scanning tables that have grown."""

    def __init__(self, pool: Db, dispatch: Dispatch, release: Release, failures: Failures) -> None:
        self._pool, self._dispatch, self._release, self._failures = pool, dispatch, release, failures

    async def complete(self, batch: Batch) -> None:
        """All the completed tasks of a batch that created nothing."""
        checksums = batch.checksums()
        if checksums[0]:
            async with self._pool.acquire() as db, db.transaction():
                rows = await store.complete(db, batch.columns(), self._dispatch.credits())
                await store.keep_checksums(db, checksums)
        elif (one := batch.one()) is not None:
            rows = await store.complete_one(self._pool, *one, self._dispatch.credits())
        else:  # one round trip, which is what nearly all tasks take
            rows = await store.complete(self._pool, batch.columns(), self._dispatch.credits())
        await self._release.after(rows, batch)
        if sum(row["tasks"] for row in rows if row["kind"] == ENDED) < len(batch.completed):
            await self._not_counted(batch)

    async def complete_parent(self, report: Completed, worker: str) -> None:
        """A task that has created tasks or results. What they are not fit for fails it, with nothing of them left to be seen."""
        try:
            rows = await store.complete_parent(self._pool, report, self._dispatch.credits())
        except asyncpg.RaiseError as error:
            why = f"what it submitted cannot become real: {error}"
            await self._failures.fail([Failed(report.task, report.attempt, "error", why)], {report.task: worker})
            return
        await self._release.after(
            rows, Batch([ReportBatch(worker, [msgspec.structs.replace(report, submission=None)])])
        )
        if rows:
            await self._dispatch.wake()
        else:  # it does not count
            await self._failures.confirm_stopped([(report.task, report.attempt)])

    async def _not_counted(self, batch: Batch) -> None:
        """Reports that did not count: late ones are dropped, one without all its outputs fails its task."""
        await self._failures.confirm_stopped([(report.task, report.attempt) for report in batch.completed.values()])
        failed = []
        for row in await store.still_open(self._pool, list(batch.completed)):
            report = batch.completed[row["id"]]
            if report.attempt == row["attempt"]:
                text = f"reported {len(report.outputs)} outputs, {row['outputs']} are expected"
                failed.append(Failed(report.task, report.attempt, "error", text))
        if failed:
            await self._failures.fail(failed, batch.workers)
