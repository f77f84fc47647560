"""The table of partitions, and what is counted for those who look at them."""

from collections.abc import Collection, Sequence
from uuid import UUID

from services.scheduler.store import Q
from shared.db.sql import Db, Row


async def listed(db: Db) -> list[Row]:
    """All partitions that were not deleted: id, name, priority, reserve, most."""
    rows: list[Row] = await db.fetch(Q["partitions"])
    return rows


async def hold(db: Db, names: Collection[str]) -> set[str]:
    """Those of the names that exist; none of them is deleted before this transaction ends."""
    return {row["name"] for row in await db.fetch(Q["hold_partitions"], list(names))}


async def lock(db: Db, name: str) -> Row:
    """The row of this name, deleted or not, locked until the transaction ends; None: there is none."""
    row: Row = await db.fetchrow(Q["lock_partition"], name)
    return row


async def create(db: Db, name: str, priority: int, reserve: int, max: int | None) -> None:
    """Adds the row; nothing happens if there is one of this name."""
    await db.execute(Q["create_partition"], name, priority, reserve, max)


async def update(db: Db, name: str, priority: int, reserve: int, max: int | None) -> Row:
    """Changes the row, and makes a deleted one live again."""
    row: Row = await db.fetchrow(Q["set_partition"], name, priority, reserve, max)
    return row


async def delete(db: Db, name: str) -> None:
    """Marks the row as deleted: tasks that ended there still say where."""
    await db.execute(Q["delete_partition"], name)


async def sessions_using(db: Db, name: str) -> list[Row]:
    """`id` and `status` of the first sessions that may submit to the partition."""
    rows: list[Row] = await db.fetch(Q["partition_sessions"], name)
    return rows


async def open_tasks(db: Db, name: str, number: int) -> list[UUID]:
    """Some tasks of the partition that have not ended, in whatever session."""
    return [row["id"] for row in await db.fetch(Q["partition_open_tasks"], name, number)]


async def counts(db: Db, numbers: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Tasks that run, and that are ready and wait, by partition. Lanes give an upper bound; 100,000 is the most that is said."""
    rows = await db.fetch(Q["partition_counts"], list(numbers))
    return {row["id"]: (row["running"], row["waiting"]) for row in rows}
