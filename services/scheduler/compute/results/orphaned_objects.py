"""Objects that no result points to any more are deleted. Their keys are noted in the transaction that let go of them.

So a kill between that commit and the deletion leaves nothing behind: the next round finds them, here or in another process.
Keys are never used twice, so that deleting one again is harmless.
"""

from collections.abc import Sequence

from shared.db.sql import Db, load
from shared.objects.port import Store
from shared.runtime.loop import Loop

Q = load(__file__, "orphaned_objects.sql")
PORTION = 1000
"""Keys that object storage takes in one request."""


class OrphanedObjects:
    """The list of their keys, and the loop that deletes them."""

    def __init__(self, pool: Db, objects: Store) -> None:
        self._pool, self._objects = pool, objects
        self._loop = Loop("orphaned_objects", 10.0, self.run_once)

    async def add(self, db: Db, keys: Sequence[str]) -> None:
        """These are to be deleted once the transaction of `db` has committed; `wake` after it."""
        await Q.add.execute(db, keys=list(keys))

    async def wake(self) -> None:
        """Looks now: some were just added."""
        self._loop.wake()

    async def run(self) -> None:
        """Deletes until cancelled."""
        await self._loop.run()

    async def run_once(self) -> int:
        """How many objects were deleted."""
        deleted = 0
        while keys := [row["key"] for row in await Q.oldest.fetch(self._pool, most=PORTION)]:
            await self._objects.delete(keys)
            await Q.forget.execute(self._pool, keys=keys)
            deleted += len(keys)
        return deleted
