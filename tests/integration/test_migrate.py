"""Schemas: numbered files once, in order, never changed afterwards; functions whenever they have changed; whoever comes first."""

import asyncio
import sys
from enum import IntEnum
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.archiver.schema import SCHEMA as ARCHIVER
from services.broker.schema import SCHEMA as BROKER
from services.gateway.schema import SCHEMA as GATEWAY
from services.retriever.schema import SCHEMA as RETRIEVER
from services.scheduler.schema import SCHEMA as SCHEDULER
from shared.chain.schema import SCHEMA as CHAINS
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.db.schema import SchemaFiles
from shared.objects.schema import SCHEMA as STORAGES
from shared.runtime.machine import Machine
from shared.runtime.startup import StartFailed
from shared.service.schema import SCHEMA as SERVICE
from tests.support.databases import Database


class Door(IntEnum):
    OPEN = 1
    SHUT = 2


DOOR: Machine[Door] = Machine("door", Door.OPEN, {}, kind=Door, sets={"known": frozenset(Door)})


def write(folder: Path, **files: str) -> SchemaFiles:
    """Files `0001_a` and so on, and functions `f_…`, of a package."""
    made = folder / "package" / "schema"
    (made / "functions").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (made / f"{name.removeprefix('m') if name[0] == 'm' else f'functions/{name}'}.sql").write_text(text)
    return SchemaFiles(made, (DOOR,))


def function(name: str, body: str, arguments: str = "", returns: str = "integer") -> str:
    """A function `name` whose body is one expression."""
    text = f"CREATE OR REPLACE FUNCTION {name}({arguments}) RETURNS {returns} LANGUAGE sql AS $$ SELECT {body} $$;"
    return f"-- What it is for.\n{text}\n"


@pytest.fixture
async def pool(database: Database) -> Any:
    async with await open_pool(database.url("broker"), "broker") as pool:
        yield pool


async def test_what_is_missing_is_applied_in_order_and_only_that(pool: Any, tmp_path: Path) -> None:
    files = write(tmp_path, m0002_b="INSERT INTO a VALUES (2)", m0001_a="CREATE TABLE a (x int)")
    (files.folder / "notes.sql").write_text("not a migration")
    assert await migrate(pool, "broker", files) == ["package/0001_a.sql", "package/0002_b.sql"]
    write(tmp_path, m0003_c="INSERT INTO a VALUES (3)")
    assert await migrate(pool, "broker", files) == ["package/0003_c.sql"]
    assert await migrate(pool, "broker", files) == []
    assert [row["x"] for row in await pool.fetch("SELECT x FROM a ORDER BY x")] == [2, 3]


async def test_a_numbered_file_that_was_changed_is_refused(pool: Any, tmp_path: Path) -> None:
    files = write(tmp_path, m0001_a="CREATE TABLE a (x int)")
    await migrate(pool, "broker", files)
    write(tmp_path, m0001_a="CREATE TABLE a (x bigint)", m0002_b="CREATE TABLE b (x int)")
    with pytest.raises(RuntimeError, match=r"package/0001_a\.sql of schema broker was changed"):
        await migrate(pool, "broker", files)
    assert await pool.fetchval("SELECT to_regclass('b')") is None


async def test_one_may_give_itself_more_time(pool: Any, tmp_path: Path) -> None:
    """Such as one that makes an index of a large table; those after it have as long as before."""
    longer = "SET LOCAL statement_timeout = '20ms'; SET LOCAL statement_timeout = '1h'; SELECT pg_sleep(0.1)"
    files = write(
        tmp_path, m0001_a=longer, m0002_b="CREATE TABLE b AS SELECT current_setting('statement_timeout') AS t"
    )
    await migrate(pool, "broker", files)
    assert await pool.fetchval("SELECT t FROM b") == "1min"


async def test_one_that_fails_leaves_nothing_and_can_be_repaired(pool: Any, tmp_path: Path) -> None:
    files = write(tmp_path, m0001_a="CREATE TABLE a (x int)", m0002_b="CREATE TABLE b (x int); SELECT 1 / 0")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(pool, "broker", files)
    assert await pool.fetchval("SELECT to_regclass('b')") is None
    write(tmp_path, m0002_b="CREATE TABLE b (x int)")
    assert await migrate(pool, "broker", files) == ["package/0002_b.sql"]


async def test_code_that_knows_fewer_files_still_starts(pool: Any, tmp_path: Path) -> None:
    """During a rollout the old processes meet the new schema."""
    files = write(tmp_path, m0001_a="CREATE TABLE a (x int)", m0002_b="ALTER TABLE a ADD COLUMN y int")
    await migrate(pool, "broker", files)
    (files.folder / "0002_b.sql").unlink()
    assert await migrate(pool, "broker", files) == []


async def test_one_that_would_block_the_running_code_gives_up(pool: Any, tmp_path: Path) -> None:
    files = write(tmp_path, m0001_a="CREATE TABLE a (x int)")
    await migrate(pool, "broker", files)
    write(tmp_path, m0002_b="SET LOCAL lock_timeout = '50ms'; ALTER TABLE a ADD COLUMN y int")
    async with pool.acquire() as busy, busy.transaction():
        await busy.execute("LOCK TABLE a IN ACCESS SHARE MODE")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await migrate(pool, "broker", files)
    assert await migrate(pool, "broker", files) == ["package/0002_b.sql"]
    write(tmp_path, m0003_c="CREATE TABLE c AS SELECT current_setting('lock_timeout') AS t")
    await migrate(pool, "broker", files)
    assert await pool.fetchval("SELECT t FROM c") == "4s"


async def test_two_processes_that_start_together_apply_each_once(database: Database, tmp_path: Path) -> None:
    slow = "CREATE TABLE a (x int); SELECT pg_sleep(0.2)"
    inserts = {f"m{n:04}_x": f"INSERT INTO a VALUES ({n})" for n in range(2, 8)}
    files = write(tmp_path, m0001_a=slow, f=function("f", "1"), **inserts)
    program = (
        "import asyncio, pathlib, sys\n"
        "from shared.db.migrate import migrate\n"
        "from shared.db.pool import open_pool\n"
        "from shared.db.schema import SchemaFiles\n"
        "async def main():\n"
        "    async with await open_pool(sys.argv[1], 'broker') as pool:\n"
        "        print('applied', len(await migrate(pool, 'broker', SchemaFiles(pathlib.Path(sys.argv[2])))))\n"
        "asyncio.run(main())\n"
    )
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, database.url("broker"), str(files.folder), stdout=asyncio.subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = [(await process.communicate())[0].decode().splitlines()[-1] for process in processes]
    assert sorted(said) == ["applied 0", "applied 8"]
    async with await open_pool(database.url("broker"), "broker") as pool:
        assert [row["x"] for row in await pool.fetch("SELECT x FROM a ORDER BY x")] == list(range(2, 8))


async def test_a_function_is_replaced_when_its_text_or_a_state_in_it_changes(pool: Any, tmp_path: Path) -> None:
    """They may call one another, in whatever order their names come."""
    files = write(
        tmp_path,
        m0001_a="CREATE TABLE a (x int DEFAULT {door.shut})",
        f=function("f", "g() + {door.shut}"),
        g=function("g", "10 * count(*)::integer FROM a WHERE x IN ({door.known})"),
    )
    names = ["package/functions/f.sql", "package/functions/g.sql"]
    assert await migrate(pool, "broker", files) == ["package/0001_a.sql", *names]
    await pool.execute("INSERT INTO a DEFAULT VALUES")
    assert await pool.fetchval("SELECT f()") == 12
    assert await migrate(pool, "broker", files) == []
    write(tmp_path, g=function("g", "20 * count(*)::integer FROM a"))
    assert await migrate(pool, "broker", files) == names[1:]
    assert await pool.fetchval("SELECT f()") == 22
    renumbered: Machine[IntEnum] = Machine("door", Door.OPEN, {}, kind=IntEnum("Door", {"OPEN": 1, "SHUT": 3}))
    assert await migrate(pool, "broker", SchemaFiles(files.folder, (renumbered,))) == names[:1]
    assert await pool.fetchval("SELECT f()") == 23


@pytest.mark.parametrize(
    "changed",
    [
        {"f": function("f", "1::bigint", returns="bigint")},
        {"f": function("f", "n", "n integer")},
    ],
    ids=["what it returns", "its arguments"],
)
async def test_a_function_whose_callers_would_notice_is_refused(
    pool: Any, tmp_path: Path, changed: dict[str, str]
) -> None:
    files = write(tmp_path, f=function("f", "1"))
    await migrate(pool, "broker", files)
    write(tmp_path, **changed)
    with pytest.raises(RuntimeError, match=r"f.*_v2"):
        await migrate(pool, "broker", files)
    assert await pool.fetch("SELECT f()::integer AS n") == [(1,)]


async def test_a_function_that_is_wrong_is_found_at_start_and_leaves_none(pool: Any, tmp_path: Path) -> None:
    files = write(tmp_path, f=function("f", "1"), g=function("g", "no_such_function()"))
    with pytest.raises(asyncpg.UndefinedFunctionError):
        await migrate(pool, "broker", files)
    with pytest.raises(asyncpg.UndefinedFunctionError):
        await pool.fetchval("SELECT f()")


async def test_what_the_files_say_is_checked_before_anything_is_applied(pool: Any, tmp_path: Path) -> None:
    for name, text, why in (
        ("m0001_a", "CREATE TABLE a (x int DEFAULT {door.ajar})", r"0001_a\.sql: there is no \{door\.ajar\}"),
        ("m0001_a", "CREATE TABLE a (x int CHECK (x IN ({door.known})))", r"0001_a\.sql: there is no \{door\.known\}"),
        ("f", function("g", "1"), r"f\.sql: it is to hold CREATE OR REPLACE FUNCTION f, and no other"),
        ("f", function("f", "1") + function("g", "1"), r"f\.sql: it is to hold .* no other"),
        ("f", function("f", "{door.ajar}"), r"f\.sql: there is no \{door\.ajar\}"),
    ):
        folder = tmp_path / name / str(hash(text))
        with pytest.raises(ValueError, match=why):
            await migrate(pool, "broker", write(folder, **{"m0000_z": "CREATE TABLE z ()", name: text}))
    assert await pool.fetchval("SELECT to_regclass('z')") is None


async def test_a_database_from_before_is_refused_with_what_to_do(pool: Any, tmp_path: Path) -> None:
    await pool.execute("CREATE TABLE schema_migrations (name text)")
    with pytest.raises(StartFailed, match=r"schema broker .* `make wipe`"):
        await migrate(pool, "broker", write(tmp_path, m0001_a="CREATE TABLE a ()"))
    assert await pool.fetchval("SELECT to_regclass('a')") is None


async def test_ours_apply_to_an_empty_schema_each_in_its_own(database: Database) -> None:
    ours = {
        "gateway": [GATEWAY],
        "scheduler": [CHAINS, SCHEDULER],
        "archiver": [CHAINS, ARCHIVER],
        "retriever": [CHAINS, RETRIEVER],
        "broker": [BROKER],
    }
    for schema, own in ours.items():
        files = [SERVICE, STORAGES, *own]
        async with await open_pool(database.url(schema), schema) as pool:
            numbered = [file.name for part in files for file in part.numbered()]
            assert await migrate(pool, schema, *files) == numbered + [
                f.name for part in files for f in part.functions()
            ]
            assert await migrate(pool, schema, *files) == []
