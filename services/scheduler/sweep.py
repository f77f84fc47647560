"""What is over and done with: submissions that were never finished, submissions whose tasks have all ended."""

from typing import Any

import asyncpg

from services.scheduler import store
from services.scheduler.handlers.submissions import discard
from shared.bus.outbox import Q as OUTBOX
from shared.bus.unit import Units
from shared.runtime.log import log

Q = store.Q
ABANDONED_AFTER = 3600.0
"""Seconds after which a submission whose last chunk has not come is refused."""


class Sweep:
    def __init__(self, pool: "asyncpg.Pool[Any]", units: Units) -> None:
        self._pool, self._units = pool, units

    async def run_once(self) -> int:
        done = 0
        for row in await self._pool.fetch(Q["abandoned"], ABANDONED_AFTER):
            async with self._units.begin() as unit:
                await discard(unit.connection, row["id"], "its last chunk never came")
            log.info("submission.abandoned", submission=str(row["id"]))
            done += 1
        for row in await self._pool.fetch(Q["unsettled"], 100):
            if await self._pool.fetchval(Q["open_tasks"], *store.span(row["id"])) is None:
                await self._pool.execute(Q["settle"], row["id"])
                done += 1
        await self._pool.execute(OUTBOX["forget_keys"])
        return done
