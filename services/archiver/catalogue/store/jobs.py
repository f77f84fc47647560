"""The catalogue's jobs."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from services.archiver.catalogue.machine import JOB, MACHINES, JobState, wire
from shared.contracts.catalogue import Job, JobType
from shared.contracts.errors import NotFound
from shared.contracts.events import JobChanged
from shared.db.sql import Db, load
from shared.runtime.clock import rfc3339
from shared.service.access import owned
from shared.service.context import Context

Q = load(__file__, "jobs.sql", MACHINES)
Row = Mapping[str, Any]
LONGEST_MESSAGE = 2000


async def insert(db: Db, id: UUID, type: JobType, dataset: UUID, owner: str) -> Row:
    """A new job. The caller has seen that there is none of this id."""
    row: Row = await Q.insert.fetchrow(db, id=id, type=type, dataset=dataset, owner=owner)
    return row


async def find(db: Db, id: UUID) -> Row | None:
    """A job with its dataset's `pid`, whoever's it is."""
    row: Row | None = await Q.find.fetchrow(db, id=id)
    return row


async def find_owned(db: Db, ctx: Context, id: UUID) -> Row:
    """NotFound if there is none that the asker may see."""
    return owned(ctx, await find(db, id), NotFound(f"there is no job {id}", field="job"))


async def move(db: Db, id: UUID, verb: str, message: str) -> Row | None:
    """The job after a verb; None if the machine does not allow it from where the job is."""
    row: Row | None = await Q.move.fetchrow(
        db, id=id, state=int(JOB.target(verb)), message=message[:LONGEST_MESSAGE], sources=JOB.sources(verb)
    )
    return row


def job_of(row: Row, pid: str) -> Job:
    """As others see it."""
    return Job(
        row["id"],
        row["type"],
        pid,
        row["owner"],
        wire(JobState(row["state"])),  # type: ignore[arg-type]
        row["message"],
        rfc3339(row["created_at"]),
        rfc3339(row["updated_at"]),
        row["version"],
    )


def changed(row: Row) -> JobChanged:
    """The event of a job as it is now."""
    return JobChanged(row["id"], row["type"], wire(JobState(row["state"])), row["message"], row["version"])
