"""The table of partitions, and what is counted for those who look at them."""

from collections.abc import Collection, Sequence
from uuid import UUID

from services.scheduler.machine import MACHINES
from shared.db.sql import Db, Row, load

Q = load(__file__, "partitions.sql", MACHINES)


async def listed(db: Db) -> list[Row]:
    """All partitions that were not deleted: id, name, priority, reserve, max, of_site."""
    rows: list[Row] = await Q.partitions.fetch(db)
    return rows


async def hold(db: Db, names: Collection[str]) -> set[str]:
    """Those of the names that exist; none of them is deleted before this transaction ends."""
    return {row["name"] for row in await Q.hold.fetch(db, names=list(names))}


async def lock(db: Db, name: str) -> Row:
    """The row of this name, deleted or not, locked until the transaction ends; None: there is none."""
    row: Row = await Q.lock.fetchrow(db, name=name)
    return row


async def create(db: Db, name: str, priority: int, reserve: int, max: int | None) -> None:
    """Adds the row; nothing happens if there is one of this name."""
    await Q.create.execute(db, name=name, priority=priority, reserve=reserve, max=max)


async def enter(db: Db, site: str) -> Row:
    """The row of a site's partition, which is made if it is not there."""
    row: Row = await Q.enter.fetchrow(db, name=site)
    return row


async def update(db: Db, name: str, priority: int, reserve: int, max: int | None) -> Row:
    """Changes the row, and makes a deleted one live again."""
    row: Row = await Q.change.fetchrow(db, name=name, priority=priority, reserve=reserve, max=max)
    return row


async def delete(db: Db, name: str) -> None:
    """Marks the row as deleted: tasks that ended there still say where."""
    await Q.mark_deleted.execute(db, name=name)


async def sessions_using(db: Db, name: str) -> list[Row]:
    """`id` and `status` of the first sessions that may submit to the partition."""
    rows: list[Row] = await Q.sessions_using.fetch(db, name=name)
    return rows


async def open_tasks(db: Db, name: str, number: int) -> list[UUID]:
    """Some tasks of the partition that have not ended, in whatever session."""
    return [row["id"] for row in await Q.unended_tasks.fetch(db, name=name, partition=number)]


async def counts(db: Db, numbers: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Tasks that run, and that are ready and wait, by partition. Lanes give an upper bound; 100,000 is the most that is counted."""
    rows = await Q.counts.fetch(db, partitions=list(numbers))
    return {row["id"]: (row["running"], row["waiting"]) for row in rows}
