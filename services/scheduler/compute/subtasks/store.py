"""What a running task creates, in the database (store.sql)."""

from collections.abc import Collection, Sequence
from uuid import UUID

from services.scheduler.compute.submissions.plan import Marks
from services.scheduler.machine import MACHINES
from shared.bus import trace
from shared.contracts.compute import NewResult
from shared.contracts.work import Spawn
from shared.db.sql import Db, Row, load

Q = load(__file__, "store.sql", MACHINES)


async def hold_parent(db: Db, task: UUID, attempt: int, site: str) -> Row | None:
    """The session of an attempt that can still complete, held, with the task's inputs, payload_result and outputs; or None.

    `site`: whose partition the task has to be of; empty: of any.
    """
    row: Row | None = await Q.hold_parent.fetchrow(db, task=task, attempt=attempt, site=site)
    return row


async def open(db: Db, request: Spawn, parent: Row) -> bool:
    """Opens the submission of a task's first part. False: it is there already."""
    opened = await Q.open.fetchval(
        db,
        submission=request.submission,
        session=parent["id"],
        owner=parent["owner"],
        trace=trace.current.get(),
        parent=request.task,
        attempt=request.attempt,
    )
    return opened is not None


async def promise_results(db: Db, submission: UUID, results: Sequence[NewResult]) -> set[UUID]:
    """Notes results that the parent has created. Returns those that were not noted before."""
    rows = await Q.promise_results.fetch(
        db,
        submission=submission,
        results=[new.id for new in results],
        names=[new.name for new in results],
        sizes=[len(new.data) if new.data is not None else new.size for new in results],
        data=[new.data for new in results],
        objects=[new.object for new in results],
        checksums=[bytes.fromhex(new.sha256) if new.sha256 else None for new in results],
    )
    return {row["id"] for row in rows}


async def promised(db: Db, submission: UUID, results: Collection[UUID]) -> dict[UUID, bool]:
    """Those of these results that the parent has created, or that a child is to produce; whether each has a value."""
    rows = await Q.promised.fetch(db, submission=submission, results=list(results))
    return {row["id"]: row["complete"] for row in rows}


async def promise_outputs(db: Db, submission: UUID, claims: dict[UUID, UUID], expected: Sequence[UUID]) -> set[UUID]:
    """Makes children the producers of results (result → child). Returns those that were free. `expected`: the parent's outputs."""
    results, tasks = list(claims), list(claims.values())
    rows = await Q.promise_outputs.fetch(
        db, submission=submission, results=results, tasks=tasks, expected=list(expected)
    )
    return {row["id"] for row in rows}


async def backward(db: Db, submission: UUID) -> Row | None:
    """A child (`task`) that needs a result (`id`) of itself or of a later one (`owner`); or None."""
    row: Row | None = await Q.backward.fetchrow(db, submission=submission, first=submission)
    return row


async def seal(db: Db, submission: UUID, tasks: int, marks: Marks) -> None:
    """All parts have come: the submission becomes visible when its parent completes."""
    await Q.seal.execute(db, submission=submission, tasks=tasks, outside=marks.outside, applications=marks.applications)
