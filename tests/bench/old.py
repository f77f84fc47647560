"""Old tasks: copies of a session that has ended, whole, as the scheduler left its rows."""

from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from deploy.local.stack import Stack
from shared.contracts import ids
from tests.support.wait import wait_until

APART = 60_000
"""Milliseconds between the sessions, of which the last one ended just now."""


async def copy_session(stack: Stack, session: UUID, submission: UUID, copies: int) -> None:
    """Copies a session of one submission, with other ids, then does what autovacuum would have done by then."""
    db = await asyncpg.connect(stack.postgres.url("headrace"), server_settings={"search_path": "scheduler"})
    try:
        await wait_until(
            lambda: db.fetchval("SELECT ended FROM submissions WHERE id = $1", submission),
            timeout=60,
            on_timeout="the scheduler has not marked the submission as ended",
        )
        await db.execute("SET synchronous_commit = off")
        now = int(datetime.now(UTC).timestamp() * 1000)
        for n in range(copies):
            at = now - APART * (copies - n)
            await _copy(db, session, submission, ids.uuid7(at), ids.submission_id(at))
        for table in ("sessions", "submissions", "chunks", "lanes", "tasks", "results"):
            await db.execute(f"VACUUM (ANALYZE) {table}", timeout=1800)
        await db.execute("CHECKPOINT", timeout=600)
    finally:
        await db.close()


async def _copy(
    db: "asyncpg.Connection[asyncpg.Record]", session: UUID, submission: UUID, other: UUID, new: UUID
) -> None:
    """Ids of tasks and results keep their last 8 digits, which say the line (see shared/contracts/ids.py)."""
    task, result = str(new)[:28], str(UUID(int=new.int | 1 << 32))[:28]
    low, high = UUID(int=submission.int | 1 << 32), UUID(int=submission.int | (1 << 33) - 1)

    def placed(prefix: str, column: str) -> str:
        return f"('{prefix}' || right({column}::text, 8))::uuid"

    async with db.transaction():
        await _rows(db, "sessions", f"id = '{session}'", id=f"'{other}'")
        await _rows(db, "submissions", f"id = '{submission}'", id=f"'{new}'", session=f"'{other}'")
        await _rows(db, "chunks", f"submission = '{submission}'", submission=f"'{new}'")
        await _rows(db, "lanes", f"submission = '{submission}'", submission=f"'{new}'", session=f"'{other}'")
        outputs = f"ARRAY(SELECT {placed(result, 'o')} FROM unnest(outputs) AS o)"
        where = f"id BETWEEN '{submission}' AND '{UUID(int=low.int - 1)}'"
        await _rows(db, "tasks", where, id=placed(task, "id"), session=f"'{other}'", outputs=outputs)
        where = f"id BETWEEN '{low}' AND '{high}'"
        await _rows(db, "results", where, id=placed(result, "id"), session=f"'{other}'", owner=placed(task, "owner"))


async def _rows(db: "asyncpg.Connection[asyncpg.Record]", table: str, where: str, **changed: str) -> None:
    """Copies rows, whatever columns they have; `changed`: an expression for each that the copies have otherwise."""
    found = await db.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped "
        "AND attgenerated = ''",
        table,
    )
    columns = [row["attname"] for row in found]
    values = [changed.get(column, column) for column in columns]
    key = "id" if "id" in columns else "submission"
    await db.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {table} WHERE {where} ORDER BY {key}",
        timeout=1800,
    )
