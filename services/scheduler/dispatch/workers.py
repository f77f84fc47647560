"""What the tables know of workers: their last heartbeats, and the tasks that they are known to hold (`running`)."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from services.scheduler.machine import MACHINES
from shared.contracts.work import Beat
from shared.db.sql import Db, Row, load

Q = load(__file__, "workers.sql", MACHINES)

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
    await Q.store_beat.execute(
        db,
        name=beat.worker,
        partition=beat.partition,
        slots=beat.slots,
        functions=beat.functions,
        holds=len(beat.holds),
        partitions=beat.serves,
        unwell=unwell,
    )


async def ended_of(db: Db, holds: Sequence[tuple[UUID, int]]) -> list[UUID]:
    """Those of these attempts that are over, have a later one, or wait in a cancelled session: they are to be stopped."""
    if not holds:
        return []
    attempts = dict(holds)
    rows = await Q.ended.fetch(db, tasks=list(attempts), attempts=list(attempts.values()))
    return [row["id"] for row in rows]


async def listed(db: Db) -> list[Row]:
    """`name` and `beat_at` of all workers that have sent heartbeats."""
    return await Q.workers.fetch(db)


async def delete(db: Db, names: Sequence[str]) -> None:
    """Deletes the rows of workers that are gone."""
    await Q.delete_workers.execute(db, names=list(names))


async def holders(db: Db) -> list[str]:
    """Names of the workers that are known to hold tasks."""
    return [row["worker"] for row in await Q.holders.fetch(db)]


async def held_by(db: Db, worker: str) -> list[Held]:
    """The attempts that a worker is known to hold."""
    return [Held(row["task"], row["attempt"], row["age"]) for row in await Q.held_by.fetch(db, worker=worker)]


async def return_unbegun(db: Db, tasks: Sequence[UUID], attempts: Sequence[int]) -> list[Row]:
    """Makes those of these attempts that had not begun wait again, uncounted, if their session is open. Returns `id` and `partition`."""
    return await Q.return_unbegun.fetch(db, tasks=list(tasks), attempts=list(attempts))


async def unbegun_of(db: Db, tasks: Sequence[UUID], attempts: Sequence[int]) -> list[UUID]:
    """Those of these attempts that are held and have not begun."""
    return [row["id"] for row in await Q.unbegun.fetch(db, tasks=list(tasks), attempts=list(attempts))]
