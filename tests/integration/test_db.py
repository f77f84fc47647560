"""Each service sees its own schema only; what the database's absence looks like."""

import asyncpg
import pytest

from shared.contracts.subjects import SERVICES
from shared.db.pool import open_pool, ping, translate
from tests.support.databases import Database


@pytest.mark.parametrize("service", SERVICES)
async def test_a_role_sees_and_touches_its_own_schema_only(database: Database, service: str) -> None:
    other = next(name for name in SERVICES if name != service)
    async with await open_pool(database.url(other), other) as theirs:
        await theirs.execute("CREATE TABLE secret (x int)")
        await theirs.execute("INSERT INTO secret VALUES (1)")
    async with await open_pool(database.url(service), service) as pool:
        assert await pool.fetchval("SELECT current_schema()") == service
        for statement in (
            f"SELECT * FROM {other}.secret",
            f"CREATE TABLE {other}.mine (x int)",
            "CREATE TABLE public.mine (x int)",
            f"SET ROLE headrace_{other}",
            "CREATE SCHEMA more",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.execute(statement)
        with pytest.raises(asyncpg.UndefinedTableError):
            await pool.execute("SELECT * FROM secret")


async def test_a_pool_pings_and_tells_what_is_wrong(database: Database) -> None:
    pool = await open_pool(database.url("broker"), "broker")
    assert await ping(pool) == "ok"
    await pool.close()
    assert "closed" in await ping(pool)


async def test_a_lost_connection_is_unavailable_and_a_bug_is_not(database: Database) -> None:
    admin = await asyncpg.connect(database.admin_url)
    async with await open_pool(database.url("broker"), "broker") as pool, pool.acquire() as connection:
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        await admin.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(Exception) as told:  # noqa: PT011 (what it is called depends on when it is noticed)
            await connection.fetchval("SELECT 1")
        assert isinstance(told.value, Exception)
        away = translate(told.value)
        assert away is not None
        assert away.retryable
    await admin.close()
    assert translate(ValueError()) is None
    assert translate(asyncpg.UniqueViolationError()) is None
    assert translate(asyncpg.DeadlockDetectedError()) is not None
    full = translate(asyncpg.DiskFullError())
    assert full is not None
    assert full.retryable
    assert "disk is full" in str(full)
