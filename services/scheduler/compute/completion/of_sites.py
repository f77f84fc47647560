"""A site's workers report of the tasks of their own partition. What they say of others counts for nothing.

The bus lets them publish on `hr.report.<site>` alone (deploy/nats), so that the subject says whose word it is. Only for these are
the tasks looked up: reports of the facility's own workers cost nothing more.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
from nats.aio.msg import Msg

from services.scheduler.compute.completion import store
from shared.contracts import subjects
from shared.contracts.work import ReportBatch
from shared.db.pool import AWAY
from shared.db.sql import Db
from shared.runtime.log import log
from shared.runtime.retry import Backoff, retry

_BEFORE = len(subjects.report(""))


async def own(
    pool: Db, messages: Sequence[tuple[Msg, ReportBatch]], sites: Mapping[str, int]
) -> list[tuple[Msg, ReportBatch]]:
    """The messages, without what sites report of tasks elsewhere. `sites`: the numbers of their partitions, by name."""
    found = []
    for message, batch in messages:
        number = sites.get(message.subject[_BEFORE:])
        found.append((message, batch if number is None else await _of_partition(pool, message.subject, batch, number)))
    return found


async def _of_partition(pool: Db, subject: str, batch: ReportBatch, number: int) -> ReportBatch:
    tasks = list({report.task for report in batch.reports})

    async def read() -> set[UUID]:
        return await store.of_partition(pool, tasks, number)

    known = await retry(read, on=AWAY, backoff=Backoff(first=0.05, ceiling=2))
    kept = [report for report in batch.reports if report.task in known]
    if len(kept) < len(batch.reports):
        log.warning("reports.foreign", subject=subject, worker=batch.worker, count=len(batch.reports) - len(kept))
    return msgspec.structs.replace(batch, reports=kept)
