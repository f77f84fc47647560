"""Migrations: once, in order, whoever comes first; never changed afterwards."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import services.gateway
import services.scheduler
import shared.chain
import shared.service
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from tests.support.databases import Database


def write(folder: Path, **files: str) -> Path:
    """Migrations `0001_a` and so on, in a folder named like a package's."""
    made = folder / "package" / "migrations"
    made.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (made / f"{name.removeprefix('m')}.sql").write_text(text)
    return made


@pytest.fixture
async def pool(database: Database) -> Any:
    async with await open_pool(database.url("broker"), "broker") as pool:
        yield pool


async def test_what_is_missing_is_applied_in_order_and_only_that(pool: Any, tmp_path: Path) -> None:
    folder = write(tmp_path, m0002_b="INSERT INTO a VALUES (2)", m0001_a="CREATE TABLE a (x int)")
    (folder / "notes.sql").write_text("not a migration")
    assert await migrate(pool, "broker", folder) == ["package/0001_a.sql", "package/0002_b.sql"]
    write(tmp_path, m0003_c="INSERT INTO a VALUES (3)")
    assert await migrate(pool, "broker", folder) == ["package/0003_c.sql"]
    assert await migrate(pool, "broker", folder) == []
    assert [row["x"] for row in await pool.fetch("SELECT x FROM a ORDER BY x")] == [2, 3]


async def test_a_migration_that_was_changed_is_refused(pool: Any, tmp_path: Path) -> None:
    folder = write(tmp_path, m0001_a="CREATE TABLE a (x int)")
    await migrate(pool, "broker", folder)
    write(tmp_path, m0001_a="CREATE TABLE a (x bigint)", m0002_b="CREATE TABLE b (x int)")
    with pytest.raises(RuntimeError, match=r"package/0001_a\.sql of schema broker was changed"):
        await migrate(pool, "broker", folder)
    assert await pool.fetchval("SELECT to_regclass('b')") is None


async def test_one_may_give_itself_more_time(pool: Any, tmp_path: Path) -> None:
    """Such as one that makes an index of a large table; those after it have as long as before."""
    longer = "SET LOCAL statement_timeout = '20ms'; SET LOCAL statement_timeout = '1h'; SELECT pg_sleep(0.1)"
    folder = write(
        tmp_path, m0001_a=longer, m0002_b="CREATE TABLE b AS SELECT current_setting('statement_timeout') AS t"
    )
    await migrate(pool, "broker", folder)
    assert await pool.fetchval("SELECT t FROM b") == "1min"


async def test_one_that_fails_leaves_nothing_and_can_be_repaired(pool: Any, tmp_path: Path) -> None:
    folder = write(tmp_path, m0001_a="CREATE TABLE a (x int)", m0002_b="CREATE TABLE b (x int); SELECT 1 / 0")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(pool, "broker", folder)
    assert await pool.fetchval("SELECT to_regclass('b')") is None
    write(tmp_path, m0002_b="CREATE TABLE b (x int)")
    assert await migrate(pool, "broker", folder) == ["package/0002_b.sql"]


async def test_code_that_knows_fewer_migrations_still_starts(pool: Any, tmp_path: Path) -> None:
    """During a rollout the old processes meet the new schema."""
    folder = write(tmp_path, m0001_a="CREATE TABLE a (x int)", m0002_b="ALTER TABLE a ADD COLUMN y int")
    await migrate(pool, "broker", folder)
    (folder / "0002_b.sql").unlink()
    assert await migrate(pool, "broker", folder) == []


async def test_one_that_would_block_the_running_code_gives_up(
    pool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path, m0001_a="CREATE TABLE a (x int)")
    await migrate(pool, "broker", folder)
    write(tmp_path, m0002_b="ALTER TABLE a ADD COLUMN y int")
    from shared.db import migrate as module

    monkeypatch.setitem(module.Q, "timeouts", module.Q["timeouts"].replace("'4s'", "'50ms'"))
    async with pool.acquire() as busy, busy.transaction():
        await busy.execute("LOCK TABLE a IN ACCESS SHARE MODE")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await migrate(pool, "broker", folder)
    assert await migrate(pool, "broker", folder) == ["package/0002_b.sql"]


async def test_two_processes_that_start_together_apply_each_once(database: Database, tmp_path: Path) -> None:
    slow = "CREATE TABLE a (x int); SELECT pg_sleep(0.2)"
    folder = write(tmp_path, m0001_a=slow, **{f"m{n:04}_x": f"INSERT INTO a VALUES ({n})" for n in range(2, 8)})
    program = (
        "import asyncio, pathlib, sys\n"
        "from shared.db.migrate import migrate\n"
        "from shared.db.pool import open_pool\n"
        "async def main():\n"
        "    async with await open_pool(sys.argv[1], 'broker') as pool:\n"
        "        print('applied', len(await migrate(pool, 'broker', pathlib.Path(sys.argv[2]))))\n"
        "asyncio.run(main())\n"
    )
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, database.url("broker"), str(folder), stdout=asyncio.subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = [(await process.communicate())[0].decode().splitlines()[-1] for process in processes]
    assert sorted(said) == ["applied 0", "applied 7"]
    async with await open_pool(database.url("broker"), "broker") as pool:
        assert [row["x"] for row in await pool.fetch("SELECT x FROM a ORDER BY x")] == list(range(2, 8))


async def test_ours_apply_to_an_empty_schema_each_in_its_own(database: Database) -> None:
    packages = {"scheduler": services.scheduler, "gateway": services.gateway, "archiver": shared.chain}
    for schema, package in packages.items():
        folders = [Path(str(each.__file__)).parent / "migrations" for each in (shared.service, package)]
        async with await open_pool(database.url(schema), schema) as pool:
            done = await migrate(pool, schema, *folders)
            assert done == [
                f"{each.parent.parent.name}/{each.name}" for f in folders for each in sorted(f.glob("*.sql"))
            ]
            assert await migrate(pool, schema, *folders) == []
