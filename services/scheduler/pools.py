"""The scheduler's connections to its database, by what they are for: each kind has planner settings of its own."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import msgspec

from services.scheduler.heavy_reads import PLACES, SECONDS
from shared.db.pool import open_pool

WALKS = {"enable_bitmapscan": "off"}
"""For all. Ids come in order, and much is taken slice by slice in their order. The planner has no statistics of a
million tasks that have just come: it would collect all that are left of them, and sort them, for each slice."""

LEAN = {
    **WALKS,
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
"""For what runs per batch of reports: plans made once, which do not scan tables that have grown since (40 ms a hop instead of 0.5)."""

LISTS = {**WALKS, "statement_timeout": f"{SECONDS}s", "max_parallel_workers_per_gather": "0"}
"""For lists: each ends, and takes one processor at most."""


class Pools(msgspec.Struct, frozen=True):
    """`completer`: for batches of reports and what is looked up per message (`LEAN`). `lists`: for large reads (`LISTS`)."""

    completer: "asyncpg.Pool[Any]"
    lists: "asyncpg.Pool[Any]"


@asynccontextmanager
async def open_pools(database_url: str) -> AsyncIterator[Pools]:
    """Beside the service's own pool, which is for everything else. Closes them at the end."""
    async with AsyncExitStack() as stack:
        completer = await open_pool(database_url, "scheduler", max_size=2, settings=LEAN)
        await stack.enter_async_context(completer)
        lists = await open_pool(database_url, "scheduler", max_size=PLACES, settings=LISTS)
        await stack.enter_async_context(lists)
        yield Pools(completer, lists)
