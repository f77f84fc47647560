"""What the tables know of workers: their last heartbeats, and the tasks that they are known to hold (`running`)."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from services.scheduler.store import Q
from shared.contracts.work import Beat
from shared.db.sql import Db, Row

LONGEST = 500
"""Characters kept of why a worker is unwell."""


class Held(NamedTuple):
    """An attempt that a worker is known to hold. `age`: seconds since that is known."""

    task: UUID
    attempt: int
    age: float


async def store_beat(db: Db, beat: Beat) -> None:
    """Writes the worker's row: what it serves, what it can do, how it is."""
    unwell = beat.unwell[:LONGEST].replace("\x00", "\\x00")
    await db.execute(
        Q["beat"], beat.worker, beat.partition, beat.slots, beat.functions, len(beat.holds), beat.serves, unwell
    )


async def ended_of(db: Db, holds: Sequence[tuple[UUID, int]]) -> list[UUID]:
    """Of these tasks and attempts those that are over, or were tried anew since: nobody waits for them."""
    if not holds:
        return []
    attempts = dict(holds)
    return [row["id"] for row in await db.fetch(Q["ended"], list(attempts), list(attempts.values()))]


async def listed(db: Db) -> list[Row]:
    """`name` and `beat_at` of all workers that have sent heartbeats."""
    rows: list[Row] = await db.fetch(Q["workers"])
    return rows


async def delete(db: Db, names: Sequence[str]) -> None:
    """Deletes the rows of workers that are gone."""
    await db.execute(Q["forget_workers"], list(names))


async def holders(db: Db) -> list[str]:
    """Names of the workers that are known to hold tasks."""
    return [row["worker"] for row in await db.fetch(Q["running_workers"])]


async def held_by(db: Db, worker: str) -> list[Held]:
    """The attempts that a worker is known to hold."""
    return [Held(row["task"], row["attempt"], row["age"]) for row in await db.fetch(Q["running_of"], worker)]


async def return_unbegun(db: Db, tasks: Sequence[UUID], attempts: Sequence[int]) -> list[Row]:
    """Of these attempts those that had not begun wait again, uncounted, if their session is open. Returns `id` and `partition`."""
    rows: list[Row] = await db.fetch(Q["return_tasks"], list(tasks), list(attempts))
    return rows


async def unbegun_of(db: Db, tasks: Sequence[UUID], attempts: Sequence[int]) -> list[UUID]:
    """Of these attempts those that are held and have not begun."""
    return [row["id"] for row in await db.fetch(Q["unbegun"], list(tasks), list(attempts))]
