"""The guards of the scheduler's statements are those of its machines' tables: read from the functions that a database has."""

import re
from collections.abc import AsyncIterator

import pytest

from services.scheduler.machine import SESSION, TASK
from services.scheduler.schema import SCHEMA
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.service.schema import SCHEMA as OUTBOX
from tests.support.databases import Database

STOP, FAIL, WAITING = TASK.sources("stop"), TASK.sources("fail"), sorted(TASK.sets["waiting"])
COMPLETE, RETRYABLE = TASK.sources("complete"), TASK.sources("rerun")


@pytest.fixture
async def functions(database: Database) -> AsyncIterator[dict[str, str]]:
    """The body of each function, as PostgreSQL runs it."""
    async with await open_pool(database.url("scheduler"), "scheduler") as pool:
        await migrate(pool, "scheduler", OUTBOX, SCHEMA)
        rows = await pool.fetch(
            "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"
        )
        yield {row["proname"]: row["prosrc"] for row in rows}


def sets(body: str) -> list[list[int]]:
    """The sets of states that a function's guards name, in the order in which they stand."""
    found = re.findall(r"status IN \(([\d, ]+)\)", body)
    return [[int(number) for number in group.split(",")] for group in found]


async def test_functions_guard_with_the_states_of_the_table(functions: dict[str, str]) -> None:
    session = sorted(SESSION.sets["open"])
    assert {name: found for name, body in functions.items() if (found := sets(body))} == {
        "complete_v1": [COMPLETE],
        "complete_one_v1": [COMPLETE],
        "complete_parent_v1": [COMPLETE, session],
        "end_v1": [STOP, STOP, FAIL, WAITING],
        "rerun_v1": [RETRYABLE],
        "count_down_v1": [TASK.sources("hold")],
        "choose_v1": [session],
        "submit_v1": [session],
    }
