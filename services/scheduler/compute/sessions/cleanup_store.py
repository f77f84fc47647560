"""The statements of cleanup_store.sql, as typed calls."""

from collections.abc import Sequence
from uuid import UUID

from services.scheduler.machine import MACHINES
from shared.db.sql import Db, Row, load

Q = load(__file__, "cleanup_store.sql", MACHINES)


async def lock_queue(db: Db, session: UUID) -> None:
    """Until this transaction ends nobody else empties the session's queue or lets it go on."""
    await Q.lock_queue.execute(db, session=str(session))


async def mark_done(db: Db, session: UUID, version: int) -> None:
    """What the change to this version entails is done."""
    await Q.mark_done.execute(db, session=session, version=version)


async def pending(db: Db, age: float) -> list[UUID]:
    """Sessions whose last change is older than `age` seconds, and is not done; at most 20."""
    return [row["id"] for row in await Q.pending.fetch(db, age=age)]


async def stop_running(db: Db, session: UUID, why: str) -> list[Row]:
    """What workers are known to hold of a session is CANCELLING. Returns id, attempt and outputs of each."""
    return await Q.stop_running.fetch(db, session=session, error=why)


async def abort_outputs(db: Db, tasks: Sequence[UUID]) -> list[UUID]:
    """The results of these tasks that have no value are ABORTED; returns them."""
    return [row["id"] for row in await Q.abort_outputs.fetch(db, tasks=list(tasks))]


async def abort_standalone(db: Db, session: UUID, after: UUID, most: int) -> list[UUID]:
    """The next results of a session, in the order of ids, that no task produces and that have no value, are ABORTED."""
    return [row["id"] for row in await Q.abort_standalone.fetch(db, session=session, after=after, most=most)]


async def cancel_slice(
    db: Db, submission: UUID, span: tuple[UUID, UUID], sources: Sequence[int], why: str, most: int
) -> list[Row]:
    """Ends the next tasks of a span that are in one of the states `sources`. Returns id, status, partition, chosen of each."""
    low, high = span
    return await Q.cancel_slice.fetch(
        db, low=low, high=high, sources=list(sources), most=most, submission=submission, error=why
    )


async def drop_lanes(db: Db, submission: UUID) -> None:
    """Nothing of a submission waits in a lane any more."""
    await Q.drop_lanes.execute(db, submission=submission)


async def drop_ready(db: Db, session: UUID) -> None:
    """Nothing of a session waits in `ready` or for a worker with its function any more."""
    await Q.drop_ready.execute(db, session=session)
