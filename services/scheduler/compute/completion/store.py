"""The statements that end attempts and release the tasks that waited for them (store.sql), as typed calls.

What the functions return, rows of the types `effect` and `ending` of the schema, has a `kind`; `of_kind` picks rows by it:

    ENDED      partition, function, tasks: so many tasks have completed; id is one of them
    CHOSEN     a task that has its turn, with all that its worker needs
    EVENT      outbox, subject, body: a row of the outbox that the function wrote
    ABORTED    id, session of a result
    FAILED     id, session, partition of a task that has ended without outputs
    STOPPING   id, session of a task that is CANCELLING
    AGAIN      id, session of a task that runs again
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from services.scheduler.machine import MACHINES
from shared.contracts.work import Completed, Output
from shared.db.sql import Db, Row, load

Q = load(__file__, "store.sql", MACHINES)
ENDED, CHOSEN, EVENT, AGAIN = "ended", "chosen", "event", "again"
ABORTED, FAILED, STOPPING = "aborted", "failed", "stopping"
Credits = tuple[list[int], list[int]]
"""Numbers of partitions, and how many of their tasks may be chosen."""


def of_kind(rows: Iterable[Row], kind: str) -> list[Row]:
    """The rows of one kind, in their order."""
    return [row for row in rows if row["kind"] == kind]


async def complete(db: Db, reports: dict[str, list[Any]], credits: Credits) -> list[Row]:
    """Tasks have made their outputs: completes both and releases those that waited. `reports`: `Batch.columns()`."""
    return await Q.complete.fetch(db, **reports, partitions=credits[0], credits=credits[1])


async def complete_one(db: Db, report: Completed, output: Output, credits: Credits) -> list[Row]:
    """`complete` for one task with one output, at a fraction of the cost."""
    return await Q.complete_one.fetch(
        db,
        task=report.task,
        attempt=report.attempt,
        output=output.id,
        size=output.size,
        data=output.data,
        object=output.object,
        partitions=credits[0],
        credits=credits[1],
    )


async def complete_parent(db: Db, report: Completed, credits: Credits) -> list[Row]:
    """`complete` for a task that has submitted tasks: what it submitted becomes real. RaiseError says what it is not fit for."""
    outputs = report.outputs
    return await Q.complete_parent.fetch(
        db,
        task=report.task,
        attempt=report.attempt,
        submission=report.submission,
        outputs=[out.id for out in outputs],
        sizes=[out.size for out in outputs],
        data=[out.data for out in outputs],
        objects=[out.object for out in outputs],
        checksums=[out.sha256 for out in outputs],
        partitions=credits[0],
        credits=credits[1],
    )


async def count_down(db: Db, results: Sequence[UUID], credits: Credits) -> list[Row]:
    """These results have a value now: releases the tasks that waited for the last of theirs."""
    return await Q.count_down.fetch(db, results=list(results), partitions=credits[0], credits=credits[1])


async def choose(db: Db, tasks: Sequence[UUID], credits: Credits) -> list[Row]:
    """Tasks that wait for nothing have their turn as far as there is credit; the others wait for it in `ready`."""
    return await Q.choose.fetch(db, tasks=list(tasks), partitions=credits[0], credits=credits[1])


async def end_tasks(
    db: Db,
    tasks: Sequence[UUID],
    attempts: Sequence[int | None],
    statuses: Sequence[int],
    errors: Sequence[str],
) -> list[Row]:
    """Ends tasks without outputs, and with them what needs their results. `attempts`: None means whichever is the current one.

    What a worker holds and is to be CANCELLED is CANCELLING until it has stopped. Rows: FAILED, ABORTED, STOPPING.
    """
    return await Q.end_tasks.fetch(db, tasks=tasks, attempts=attempts, statuses=statuses, errors=errors)


async def keep_checksums(db: Db, checksums: tuple[list[UUID], list[str], list[str]]) -> None:
    """Notes the SHA-256 of stored objects: results, keys, checksums in hex."""
    results, objects, digests = checksums
    await Q.keep_checksums.execute(db, results=results, objects=objects, checksums=digests)


async def of_partition(db: Db, tasks: Sequence[UUID], partition: int) -> set[UUID]:
    """Those of these tasks that are of a partition."""
    return {row["id"] for row in await Q.of_partition.fetch(db, tasks=list(tasks), partition=partition)}


async def still_open(db: Db, tasks: Sequence[UUID]) -> list[Row]:
    """Those that could complete now: id, attempt, outputs (their number)."""
    return await Q.still_open.fetch(db, tasks=list(tasks))


async def start_tasks(db: Db, tasks: Sequence[UUID], attempts: Sequence[int], workers: Sequence[str]) -> list[Row]:
    """The code of these attempts runs, with these workers. Returns id and session of those that were waiting for that."""
    return await Q.start_tasks.fetch(db, tasks=tasks, attempts=attempts, workers=workers)


async def retry_tasks(
    db: Db, tasks: Sequence[UUID], attempts: Sequence[int], workers: Sequence[str], errors: Sequence[str]
) -> list[Row]:
    """Lost attempts are tried again. Returns id, session and partition of those that have retries left in an open session."""
    return await Q.retry_tasks.fetch(db, tasks=tasks, attempts=attempts, workers=workers, errors=errors)


async def confirm_stopped(db: Db, tasks: Sequence[UUID], attempts: Sequence[int]) -> list[Row]:
    """These attempts run no more: those that were CANCELLING are CANCELLED. Returns their id, session and partition."""
    return await Q.confirm_stopped.fetch(db, tasks=tasks, attempts=attempts)


async def waiting_for(db: Db, results: Sequence[UUID]) -> list[Row]:
    """The tasks that wait for any of these: id, attempt, and the first of these results that each needs."""
    return await Q.waiting_for.fetch(db, results=list(results))


async def stranded_tasks(db: Db, first: UUID, last: UUID, last_result: UUID) -> list[Row]:
    """Tasks of a submission that wait for a result of it which is lost: id, attempt, result, owner. Holds these results."""
    await Q.hold_inner_results.execute(db, first=first, last=last, last_result=last_result)
    return await Q.stranded_tasks.fetch(db, first=first, last=last, last_result=last_result)
