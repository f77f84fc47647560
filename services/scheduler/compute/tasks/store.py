"""Tasks in the database (store.sql)."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from services.scheduler.compute.tasks.status import Cursors, status_of
from services.scheduler.machine import MACHINES
from shared.contracts import ids
from shared.contracts.compute import Value
from shared.contracts.errors import NotFound
from shared.contracts.states import SessionStatus, TaskStatus
from shared.contracts.topology import MESSAGE_LIMIT
from shared.db.sql import Db, Row, load

Q = load(__file__, "store.sql", MACHINES)
INPUTS = 1000
"""Inputs on a page, at most."""
INPUTS_ROOM = MESSAGE_LIMIT * 3 // 4 - 1024
"""Bytes of their data and keys on a page: base64 takes the last quarter."""
INPUT_ROOM = 128
"""Bytes of an input beside its data."""


async def get(db: Db, task: UUID) -> Row:
    """A task's row with its `partition_name`; NotFound if there is none."""
    row = await Q.find.fetchrow(db, task=task)
    if row is None:
        raise NotFound(f"there is no task {task}", field="task")
    return row


async def status(db: Db, row: Row, session: SessionStatus) -> TaskStatus:
    """What users see of a task's state. `session`: the state of its session."""
    return status_of(row, await cursors(db, [row]), session)


async def lock(db: Db, session: UUID, tasks: Collection[UUID]) -> list[Row]:
    """Those of these tasks that the session has, in the order of ids; nobody else changes them in this transaction."""
    return await Q.lock.fetch(db, tasks=list(tasks), session=session)


async def outputs(db: Db, tasks: Collection[UUID]) -> dict[UUID, Row]:
    """Outputs, and the owner of the session, of those of these tasks that exist, by id."""
    return {row["id"]: row for row in await Q.outputs.fetch(db, tasks=list(tasks))}


async def attempts(db: Db, task: UUID, after: int, before: int, most: int) -> list[Row]:
    """Earlier attempts with a number between two, in order."""
    return await Q.attempts.fetch(db, task=task, after=after, before=before, most=most)


async def cursors(db: Db, tasks: Sequence[Row]) -> Cursors:
    """How far the lanes of these tasks were chosen."""
    submissions = list({ids.submission_of(row["id"]) for row in tasks})
    rows = await Q.cursors.fetch(db, submissions=submissions)
    return {(row["submission"], row["partition"], row["priority"]): row["cursor"] for row in rows}


async def inputs(db: Db, task: UUID, start: int, site: str) -> tuple[list[Value], bool]:
    """Values of a task's inputs from place `start` on, as many as fit in a reply; and whether there are more.

    `site`: whose partition the task has to be of; empty: of any.
    """
    rows = await Q.inputs.fetch(db, task=task, site=site, start=start, most=INPUTS, room=INPUTS_ROOM, each=INPUT_ROOM)
    values = [Value(row["id"], row["size"], row["data"], row["object"]) for row in rows]
    return values, bool(rows) and rows[-1]["more"]


async def confirmable(db: Db, tasks: Collection[UUID], site: str) -> list[Row]:
    """Those of these tasks that may be run: id, the current attempt, and the worker that is known to hold it, if any.

    `site`: as in `inputs`.
    """
    return await Q.confirmable.fetch(db, tasks=list(tasks), site=site)


async def unmet(db: Db, task: UUID) -> list[Row]:
    """Results that a task waits for, at most five: id, status, owner."""
    return await Q.unmet.fetch(db, task=task)


async def ready_since(db: Db, task: UUID, submission: UUID) -> datetime | None:
    """When the last of what a task waited for was there."""
    since: datetime | None = await Q.ready_since.fetchval(db, task=task, submission=submission)
    return since
