"""Sessions purged and deleted, in the database (store.sql): slice by slice, in the order of ids."""

from collections.abc import AsyncIterator
from uuid import UUID

from services.scheduler.machine import MACHINES
from shared.db.sql import Db, Query, Row, load

Q = load(__file__, "store.sql", MACHINES)
SLICE = 5000
"""Rows that one statement takes away or changes."""
Span = tuple[UUID, UUID]
"""Ids after the first, up to the second."""


async def expired(db: Db) -> list[UUID]:
    """Sessions whose time is over, at most 20."""
    return [row["id"] for row in await Q.expired.fetch(db)]


async def begin_operation(db: Db, session: UUID, operation: UUID) -> Row:
    """The session's row, which names the operation that goes on."""
    return await Q.begin_operation.fetchrow(db, session=session, operation=operation)


async def end_operation(db: Db, session: UUID, operation: UUID) -> None:
    """This operation is over, unless another one goes on."""
    await Q.end_operation.execute(db, session=session, operation=operation)


async def mark_deleting(db: Db, session: UUID) -> None:
    """The session is being deleted."""
    await Q.mark_deleting.execute(db, session=session)


async def delete_results(db: Db, span: Span) -> list[Row]:
    """The next results of a span are DELETED, whatever they were. Returns id and session of each; fewer than `SLICE`: the last."""
    return await Q.delete_results.fetch(db, after=span[0], last=span[1], most=SLICE)


async def delete_standalone(db: Db, session: UUID, after: UUID) -> list[Row]:
    """As `delete_results`, of those results of a session that no task produces."""
    return await Q.delete_standalone.fetch(db, session=session, after=after, most=SLICE)


async def task_slices(db: Db, span: Span) -> AsyncIterator[Span]:
    """A span in pieces that have at most `SLICE` tasks each."""
    async for piece in _slices(Q.bound_tasks, db, span):
        yield piece


async def result_slices(db: Db, span: Span) -> AsyncIterator[Span]:
    """A span in pieces that have at most `SLICE` results each."""
    async for piece in _slices(Q.bound_results, db, span):
        yield piece


async def _slices(query: Query, db: Db, span: Span) -> AsyncIterator[Span]:
    after, last = span
    while (bound := await query.fetchval(db, after=after, last=last, most=SLICE)) is not None:
        yield after, bound
        after = bound
    yield after, last


async def drop_tasks(db: Db, span: Span, submission: UUID) -> dict[int, int]:
    """Removes tasks of a submission with all that is kept of them. Returns how many of them were outstanding, by partition."""
    rows = await Q.drop_tasks.fetch(db, after=span[0], last=span[1], submission=submission)
    return {row["partition"]: row["tasks"] for row in rows}


async def drop_results(db: Db, span: Span) -> None:
    """Removes the results of a span."""
    await Q.drop_results.execute(db, after=span[0], last=span[1])


async def drop_standalone(db: Db, session: UUID, after: UUID) -> list[UUID]:
    """Removes the next results of a session that no task produces; returns them."""
    return [row["id"] for row in await Q.drop_standalone.fetch(db, session=session, after=after, most=SLICE)]


async def drop_submission(db: Db, submission: UUID) -> None:
    """Removes a submission's row with its chunks, lanes and promises."""
    await Q.drop_submission.execute(db, submission=submission)


async def drop_session(db: Db, session: UUID) -> Row | None:
    """Removes a session's row and returns it; None if it is gone."""
    row: Row | None = await Q.drop_session.fetchrow(db, session=session)
    return row
