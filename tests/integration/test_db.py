"""Each service sees its own schema, and takes its own locks, only; what the database's absence looks like."""

from contextlib import AsyncExitStack

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


async def test_nobody_takes_anothers_locks(database: Database) -> None:
    """Advisory locks are the database's: the same name is another lock for each service, and there is no other way to one."""
    async with AsyncExitStack() as opened:
        roles = {name: await opened.enter_async_context(await open_pool(database.url(name), name)) for name in SERVICES}
        keys = {name: await pool.fetchval("SELECT locks.key('dispatch.default')") for name, pool in roles.items()}
        assert len(set(keys.values())) == len(SERVICES)
        assert len({key >> 56 for key in keys.values()}) == len(SERVICES)
        assert 0 not in {key >> 56 for key in keys.values()}
        for name, pool in roles.items():
            for statement in (
                f"SELECT pg_advisory_lock({keys['scheduler']})",
                f"SELECT pg_try_advisory_lock({keys['scheduler']})",
                f"SELECT pg_advisory_xact_lock({keys['scheduler']})",
                f"SELECT pg_try_advisory_xact_lock_shared({keys['scheduler']})",
                "SELECT pg_advisory_lock(1, 2)",
                "SELECT pg_try_advisory_lock_shared(1, 2)",
                "CREATE FUNCTION locks.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
                "CREATE OR REPLACE FUNCTION locks.key(name text) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
                "SET SESSION AUTHORIZATION headrace_scheduler"
                if name != "scheduler"
                else "SET SESSION AUTHORIZATION headrace_broker",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await pool.execute(statement)
        held = [await opened.enter_async_context(pool.acquire()) for pool in roles.values()]
        assert [await db.fetchval("SELECT locks.try_hold('dispatch.default')") for db in held] == [True] * len(SERVICES)
        assert not await roles["scheduler"].fetchval("SELECT locks.try_hold('dispatch.default')")
        assert [await db.fetchval("SELECT locks.release('dispatch.default')") for db in held] == [True] * len(SERVICES)


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
        with pytest.raises(Exception) as raised:  # noqa: PT011 (what it is called depends on when it is noticed)
            await connection.fetchval("SELECT 1")
        assert isinstance(raised.value, Exception)
        away = translate(raised.value)
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
