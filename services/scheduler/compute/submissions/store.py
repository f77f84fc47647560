"""Submissions and their chunks in the database (store.sql): rows in, contracts out."""

from uuid import UUID

from services.scheduler.compute.submissions.chunk import Chunk
from services.scheduler.compute.submissions.plan import Marks
from services.scheduler.machine import MACHINES
from shared.bus import trace
from shared.contracts.compute import Submission
from shared.contracts.states import SubmissionStatus, name_of
from shared.db.sql import Db, Row, load

Q = load(__file__, "store.sql", MACHINES)


async def open(db: Db, owner: str, chunk: Chunk) -> Row | None:
    """Opens the submission of a chunk, if there is none of its id and the session takes any.

    Returns the session's row, held, with `opened`: whether it did; None if there is no such session.
    """
    row: Row | None = await Q.open.fetchrow(
        db,
        submission=chunk.submission,
        session=chunk.session,
        owner=owner,
        options=chunk.options_text,
        trace=trace.current.get(),
    )
    return row


async def find(db: Db, submission: UUID) -> Row | None:
    """The submission's row with the number of its `chunks`, or None."""
    row: Row | None = await Q.find.fetchrow(db, submission=submission)
    return row


async def hold(db: Db, submission: UUID) -> Row | None:
    """The submission's row, or None; it stays as it is until this transaction ends."""
    row: Row | None = await Q.hold.fetchrow(db, submission=submission)
    return row


async def lock(db: Db, submission: UUID) -> Row | None:
    """As `hold`, and nobody else holds it."""
    row: Row | None = await Q.lock.fetchrow(db, submission=submission)
    return row


async def ids_of_session(db: Db, session: UUID, *, hidden: bool = True) -> list[UUID]:
    """All that left rows, complete or not. `hidden`: also those of tasks that have not completed, which nobody has seen."""
    return [row["id"] for row in await Q.ids_of_session.fetch(db, session=session, hidden=hidden)]


async def visible_of_session(db: Db, session: UUID) -> list[UUID]:
    """Those that count: a submission whose last chunk has not come is not shown."""
    return [row["id"] for row in await Q.visible_of_session.fetch(db, session=session)]


async def show(db: Db, submission: UUID, tasks: int, *, applications: bool) -> None:
    """It has so many tasks, and is visible. `applications`: some of them name one."""
    await Q.show.execute(db, submission=submission, tasks=tasks, applications=applications)


async def refuse(db: Db, submission: UUID, why: str) -> None:
    """Its row says for ever why it was refused."""
    await Q.refuse.execute(db, submission=submission, refusal=why)


async def find_chunk(db: Db, submission: UUID, number: int) -> Row | None:
    """The digest of a chunk that was taken before, and its number of tasks; or None."""
    row: Row | None = await Q.find_chunk.fetchrow(db, submission=submission, number=number)
    return row


async def add_chunk(db: Db, chunk: Chunk, tasks: int, marks: Marks) -> None:
    """Notes a chunk, so that a repeat of it is known."""
    await Q.add_chunk.execute(
        db,
        submission=chunk.submission,
        number=chunk.number,
        first=chunk.first,
        tasks=tasks,
        digest=chunk.digest,
        **marks._asdict(),
    )


async def chunk_totals(db: Db, submission: UUID) -> Row:
    """The totals of all chunks: chunks, tasks, last, contiguous, and each of Marks."""
    return await Q.chunk_totals.fetchrow(db, submission=submission)


async def drop_chunks(db: Db, submission: UUID) -> None:
    """Forgets the chunks of a submission."""
    await Q.drop_chunks.execute(db, submission=submission)


def submission_of(row: Row) -> Submission:
    """The contract of a row of `find`."""
    return Submission(row["id"], row["session"], name_of(SubmissionStatus(row["status"])), row["chunks"], row["tasks"])
