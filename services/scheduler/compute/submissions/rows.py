"""The rows of a submission: written chunk by chunk, or all at once if it is short; taken away if it is never completed."""

from collections.abc import Collection
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from services.scheduler.compute.submissions import store
from services.scheduler.compute.submissions.chunk import Chunk
from services.scheduler.compute.submissions.plan import EDGE_COLUMNS, RESULT_COLUMNS, TASK_COLUMNS, Plan
from services.scheduler.machine import MACHINES
from services.scheduler.spans import result_span, task_span
from shared.bus import trace
from shared.contracts import headers as h
from shared.contracts import ids
from shared.contracts.errors import AlreadyExists, Conflict
from shared.contracts.states import ResultStatus
from shared.db.sql import Db, Row, load

Q = load(__file__, "rows.sql", MACHINES)
REASON = 500
"""Characters kept of why a submission was refused."""


async def submit(db: Db, owner: str, chunk: Chunk, plan: Plan, *, choose: bool) -> list[Row]:
    """A submission of one chunk that concerns nobody else becomes visible, in one statement.

    `choose`: its ready tasks are chosen. Returns rows as `complete` does; none: it exists already, or its session takes none.
    Raises AlreadyExists if an id that it would give to a result is taken.
    """
    of = dict(zip(TASK_COLUMNS, zip(*plan.tasks, strict=True), strict=True))
    try:
        return await Q.submit.fetch(
            db,
            submission=chunk.submission,
            session=chunk.session,
            owner=owner,
            options=chunk.options_text,
            trace=trace.current.get(),
            digest=chunk.digest,
            applications=plan.applications,
            tasks=of["id"],
            deps=of["deps"],
            task_partitions=of["partition"],
            task_priorities=of["priority"],
            max_retries=of["max_retries"],
            max_durations=of["max_duration"],
            functions=of["function"],
            payloads=of["payload"],
            payload_results=of["payload_result"],
            inputs=[_array(found) for found in of["inputs"]],
            outputs=[_array(found) for found in of["outputs"]],
            labels=of["labels"],
            task_applications=of["application"],
            results=[result for result, _ in plan.outputs],
            owners=[task for _, task in plan.outputs],
            needed=[result for result, _ in plan.edges],
            needing=[task for _, task in plan.edges],
            partitions=[partition for partition, _ in plan.lanes],
            priorities=[priority for _, priority in plan.lanes],
            upto=list(plan.lanes.values()),
            choose=choose,
        )
    except asyncpg.UniqueViolationError as error:
        raise _not_free(error) from None


async def write(db: Db, chunk: Chunk, plan: Plan) -> None:
    """A chunk's rows, but for what it claims. Conflict if another chunk has a line of it."""
    now = datetime.now(UTC)
    try:
        await db.copy_records_to_table("tasks", records=plan.tasks, columns=TASK_COLUMNS)
    except asyncpg.UniqueViolationError as error:
        raise Conflict(f"another chunk has line {ids.line_of(_taken(error))} already", field=h.FIRST) from None
    if plan.outputs:
        created = int(ResultStatus.CREATED)
        records = [(result, plan.session, False, created, task, now) for result, task in plan.outputs]
        try:
            await db.copy_records_to_table("results", records=records, columns=RESULT_COLUMNS)
        except asyncpg.UniqueViolationError as error:
            raise _not_free(error) from None
    if plan.edges:
        await db.copy_records_to_table("dependencies", records=plan.edges, columns=EDGE_COLUMNS)
    await store.add_chunk(db, chunk, len(plan.tasks), plan.marks)
    if plan.lanes:
        await Q.add_lanes.execute(
            db,
            submission=chunk.submission,
            session=chunk.session,
            partitions=[partition for partition, _ in plan.lanes],
            priorities=[priority for _, priority in plan.lanes],
            upto=list(plan.lanes.values()),
            functions=plan.functions,
        )


async def hold_results(db: Db, results: Collection[UUID]) -> dict[UUID, tuple[UUID, int]]:
    """Session and status of those that exist, by id. Who completes one of them counts down before this transaction, or after."""
    rows = await Q.hold_results.fetch(db, results=list(results))
    return {row["id"]: (row["session"], row["status"]) for row in rows}


async def claim_results(db: Db, session: UUID, claims: dict[UUID, UUID]) -> set[UUID]:
    """Makes tasks the producers of results that existed before (result → task). Returns those that were free."""
    rows = await Q.claim_results.fetch(db, results=list(claims), tasks=list(claims.values()), session=session)
    return {row["id"] for row in rows}


async def discard(db: Db, submission: UUID, why: str) -> None:
    """Takes back what the chunks of an incomplete submission left; its row stays and says why."""
    first, last = task_span(submission)
    await Q.release_claims.execute(db, first=first, last=last)
    await drop(db, submission)
    await store.drop_chunks(db, submission)
    await Q.drop_lanes.execute(db, submission=submission)
    await store.refuse(db, submission, why[:REASON])


async def drop(db: Db, submission: UUID) -> None:
    """Removes the tasks of an incomplete submission, with their results and edges."""
    first, last = task_span(submission)
    await Q.drop_dependencies.execute(db, first=first, last=last)
    await Q.drop_tasks.execute(db, first=first, last=last)
    below, last = result_span(submission)
    await Q.drop_results.execute(db, below=below, last=last)


def _array(found: list[UUID] | None) -> str | None:
    """As PostgreSQL writes it."""
    return None if found is None else f"{{{','.join(map(str, found))}}}"


def _not_free(error: asyncpg.UniqueViolationError) -> AlreadyExists:
    return AlreadyExists(
        f"result {_taken(error)} exists already: the submission's id does not leave it free", field="id"
    )


def _taken(error: asyncpg.UniqueViolationError) -> UUID:
    """The id that PostgreSQL found to be there: `Key (id)=(…) already exists.`"""
    return UUID((error.detail or "").partition("=(")[2].partition(")")[0])
