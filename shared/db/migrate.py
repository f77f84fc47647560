"""Brings a schema up to date at start: numbered files that are missing, functions whose text has changed (shared/db/schema.py).

All under one advisory lock a schema, so that of several processes that start together one does it. Time-outs on locks and
statements make a file that would block the running code give up instead: during a rollout old processes work on the new schema.
"""

from typing import Any

import asyncpg

from shared.db.schema import SchemaFile, SchemaFiles
from shared.db.sql import load
from shared.runtime.log import log
from shared.runtime.startup import StartFailed, connect_patiently

Q = load(__file__, "migrate.sql")


class _Locked(Exception):
    """Somebody else holds the lock."""


async def migrate(pool: "asyncpg.Pool[Any]", schema: str, *parts: SchemaFiles) -> list[str]:
    """Applies what is missing, part by part, then the functions of all. Returns the names of the files applied.

    StartFailed if the database is of a time before these files; RuntimeError for a numbered file that was changed, and for a
    function whose arguments or result have changed; asyncpg's error for a file that fails: then nothing of it is left.
    """
    numbered = [file for part in parts for file in part.numbered()]
    functions = [file for part in parts for file in part.functions()]
    async with pool.acquire() as connection:

        async def lock() -> None:
            if not await Q.lock.fetchval(connection, schema=schema):
                raise _Locked(f"another process is migrating schema {schema}")

        await connect_patiently("the lock of migrations", schema, lock, on=(_Locked,), why=str)
        try:
            if await Q.is_of_before.fetchval(connection):
                raise StartFailed(
                    f"schema {schema} was made by an earlier form of Headrace, whose data cannot be taken over: "
                    "`make wipe` deletes what this machine's stack has stored; elsewhere, drop the schema and make it anew"
                )
            await Q.create_table.execute(connection)
            known = {row["name"]: row["checksum"] for row in await Q.applied.fetch(connection)}
            done = [file for file in numbered if await _apply_once(connection, schema, file, known.get(file.name))]
            done += await _replace(connection, schema, [f for f in functions if known.get(f.name) != f.checksum])
        finally:
            await Q.unlock.execute(connection, schema=schema)
    return [file.name for file in done]


async def _apply_once(connection: Any, schema: str, file: SchemaFile, known: str | None) -> bool:
    if known is not None and known != file.checksum:
        raise RuntimeError(f"{file.name} of schema {schema} was changed after it had been applied")
    if known is not None:
        return False
    async with connection.transaction():
        await Q.timeouts.execute(connection)
        await connection.execute(file.text)
        await Q.record.execute(connection, name=file.name, checksum=file.checksum)
    log.info("db.migrated", schema=schema, migration=file.name)
    return True


async def _replace(connection: Any, schema: str, files: list[SchemaFile]) -> list[SchemaFile]:
    if not files:
        return []
    async with connection.transaction():
        await Q.timeouts.execute(connection)
        await Q.leave_bodies_unchecked.execute(connection)  # they call one another
        for _ in range(2):  # the second time all are there, and are checked
            for file in files:
                try:
                    await connection.execute(file.text)
                except asyncpg.InvalidFunctionDefinitionError as error:
                    raise RuntimeError(f"{file.name}: {error}; make it a new function, _v2") from error
            await Q.check_bodies.execute(connection)
        if twice := await Q.overloaded.fetchval(connection):
            raise RuntimeError(f"function {twice} of schema {schema} takes other arguments now: make it a new one, _v2")
        for file in files:
            await Q.record.execute(connection, name=file.name, checksum=file.checksum)
    for file in files:
        log.info("db.migrated", schema=schema, migration=file.name)
    return files
