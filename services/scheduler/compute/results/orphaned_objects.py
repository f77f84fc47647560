"""Objects that no result points to any more go. Which they are was written in the transaction that let go of them.

So a kill between that commit and the removal leaves nothing behind: the next round finds them, here or in another process.
Keys are never used twice, so that removing one again is harmless.
"""

from typing import Any

import asyncpg

from services.scheduler import store
from shared.objects.port import Store
from shared.runtime.loop import Loop

Q = store.Q
PORTION = 1000
"""Keys that object storage takes in one request."""


class Doomed:
    def __init__(self, pool: "asyncpg.Pool[Any]", objects: Store) -> None:
        self._pool, self._objects = pool, objects
        self._loop = Loop("doomed", 10.0, self.run_once)

    async def doom(self, db: store.Db, keys: list[str]) -> None:
        """These are to go once the transaction `db` has committed; `wake` after it."""
        await db.execute(Q["doom"], keys)

    async def wake(self) -> None:
        self._loop.wake()

    async def run(self) -> None:
        await self._loop.run()

    async def run_once(self) -> int:
        """How many objects were removed."""
        removed = 0
        while keys := [row["key"] for row in await self._pool.fetch(Q["doomed"], PORTION)]:
            await self._objects.delete(keys)
            await self._pool.execute(Q["forget_doomed"], keys)
            removed += len(keys)
        return removed
