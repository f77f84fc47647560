"""A unit of work on a connection that only notes what it is asked."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared.bus import trace
from shared.contracts.errors import Unavailable
from shared.service.outbox import Row
from shared.service.unit import Units


class Db:
    """Stands for the pool, its connection and the transaction. `log`: what happened, in order."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.rows: list[Row] = []
        self.error: Exception | None = None

    @asynccontextmanager
    async def acquire(self) -> Any:
        if self.error:
            raise self.error
        yield self

    @asynccontextmanager
    async def transaction(self) -> Any:
        try:
            yield
        except BaseException:
            self.log.append("rolled back")
            raise
        self.log.append("committed")

    async def fetchrow(self, query: str, *arguments: Any) -> Row:
        self.log.append(f"outbox {arguments[0]}")
        return (len(self.log), *arguments)

    async def push(self, rows: list[Row]) -> None:
        self.log.append(f"pushed {len(rows)}")
        self.rows += rows


@pytest.fixture
def db() -> Db:
    return Db()


@pytest.fixture
def units(db: Db) -> Units:
    return Units(db, db)  # type: ignore[arg-type]


async def test_events_are_written_before_the_commit_and_pushed_after_the_effects(db: Db, units: Units) -> None:
    async def effect() -> None:
        db.log.append("effect")

    token = trace.current.set("00-trace")
    async with units.begin() as unit:
        unit.emit("hr.evt.a", b"1")
        unit.after.append(effect)
        db.log.append("work")
    trace.current.reset(token)
    assert db.log == ["work", "outbox hr.evt.a", "committed", "effect", "pushed 1"]
    assert db.rows[0][1:] == ("hr.evt.a", b"1", "00-trace")


async def test_after_an_error_only_what_undoes_runs(db: Db, units: Units) -> None:
    async def undo() -> None:
        db.log.append("undone")

    async def work() -> None:
        async with units.begin() as unit:
            unit.emit("hr.evt.a", b"1")
            unit.undone.append(undo)
            raise KeyError("as told")

    with pytest.raises(KeyError):
        await work()
    assert db.log == ["rolled back", "undone"]


async def test_what_undoes_runs_when_the_caller_gives_up(db: Db, units: Units) -> None:
    async def undo() -> None:
        db.log.append("undone")

    async def work() -> None:
        async with asyncio.timeout(0), units.begin() as unit:
            unit.undone.append(undo)
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        await work()
    assert db.log == ["rolled back", "undone"]


async def test_a_database_that_is_away_is_unavailable(db: Db, units: Units) -> None:
    db.error = ConnectionRefusedError()

    async def work() -> None:
        async with units.begin():
            pass

    with pytest.raises(Unavailable):
        await work()
