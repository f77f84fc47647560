"""Numbered plain-SQL migrations, `0001_what.sql`, each in a transaction, all under one advisory lock per schema.

They must be safe for the code that is already running: time-outs on locks and statements make a migration that would
block give up instead. A migration that was applied may never change: its checksum is compared.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg

from shared.db.sql import load
from shared.runtime.log import log
from shared.runtime.startup import connect_patiently

Q = load(__file__, "migrate.sql")


class _Locked(Exception):
    """Somebody else holds the lock."""


async def migrate(pool: "asyncpg.Pool[Any]", schema: str, *folders: Path) -> list[str]:
    """Applies what is missing, folder by folder, in the order of the file names. Returns the names applied."""
    files = [file for folder in folders for file in sorted(folder.glob("[0-9]*.sql"))]
    async with pool.acquire() as connection:

        async def lock() -> None:
            if not await connection.fetchval(Q["lock"], schema):
                raise _Locked(f"another process is migrating schema {schema}")

        await connect_patiently("the lock of migrations", schema, lock, on=(_Locked,), why=str)
        try:
            return await _apply(connection, schema, files)
        finally:
            await connection.execute(Q["unlock"], schema)


async def _apply(connection: Any, schema: str, files: Sequence[Path]) -> list[str]:
    await connection.execute(Q["create_table"])
    known = {row["name"]: row["checksum"] for row in await connection.fetch(Q["applied"])}
    done = []
    for file in files:
        text = file.read_text(encoding="utf-8")
        checksum = hashlib.sha256(text.encode()).hexdigest()
        name = f"{file.parent.parent.name}/{file.name}"
        if name in known:
            if known[name] != checksum:
                raise RuntimeError(f"migration {name} of schema {schema} was changed after it had been applied")
            continue
        async with connection.transaction():
            await connection.execute(Q["timeouts"])
            await connection.execute(text)
            await connection.execute(Q["record"], name, checksum)
        log.info("db.migrated", schema=schema, migration=name)
        done.append(name)
    return done
