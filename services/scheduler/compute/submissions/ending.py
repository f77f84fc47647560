"""Submissions whose tasks have all ended are marked, so that nothing looks through their tasks again."""

from collections.abc import Collection
from uuid import UUID

from services.scheduler.compute.submissions import store
from services.scheduler.machine import MACHINES
from services.scheduler.spans import task_span
from shared.db.sql import Db, Row, load
from shared.service.unit import Units

Q = load(__file__, "ending.sql", MACHINES)


async def mark_if_ended(units: Units, submission: UUID) -> bool:
    """Marks a submission if all its tasks have ended. Under its lock: one of them may just be run again."""
    async with units.begin() as unit:
        db = unit.connection
        await store.lock(db, submission)
        if await first_open_task(db, *task_span(submission)) is not None:
            return False
        await Q.mark.execute(db, submission=submission)
    return True


async def unmark(db: Db, submissions: Collection[UUID]) -> None:
    """Tasks of these are run again."""
    await Q.unmark.execute(db, submissions=list(submissions))


async def first_open_task(db: Db, low: UUID, high: UUID) -> UUID | None:
    """The first task of a span that has not ended, or None."""
    found: UUID | None = await Q.first_open_task.fetchval(db, low=low, high=high)
    return found


async def open_of_session(db: Db, session: UUID) -> list[Row]:
    """The submissions of a session that are not marked, in the order of ids: id and status."""
    return await Q.open_of_session.fetch(db, session=session)


async def ended_candidates(db: Db, after: UUID, most: int) -> list[UUID]:
    """The next submissions, of any session, that may have ended: none of their tasks waits in a lane."""
    return [row["id"] for row in await Q.ended_candidates.fetch(db, after=after, most=most)]
