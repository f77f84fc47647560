"""What is over and done with: submissions that were never finished, or whose parent never completed, and those whose tasks
have all ended.

And what a session's change of state has left undone; and sessions whose time is over.
"""

from typing import Any
from uuid import UUID

import asyncpg

from services.scheduler import store
from services.scheduler.compute.removal.chains import Removal
from services.scheduler.compute.sessions.closing import settle
from services.scheduler.compute.sessions.duties import Duties
from services.scheduler.compute.submissions.handlers import discard, drop_rows
from shared.contracts.states import SubmissionStatus
from shared.runtime.log import log
from shared.service.inbox import forget_keys
from shared.service.unit import Units

Q = store.Q
ABANDONED_AFTER = 3600.0
"""Seconds after its newest chunk when a submission whose last chunk has not come is refused."""
OWED_AFTER = 10.0
"""Seconds after a session's change of state when what it entails is taken up here: whoever changed it is at it until then."""
PAGE = 100
"""Submissions looked at in one round; the next round goes on behind them, so that those that wait hide no others."""
FIRST = UUID(int=0)


class Sweep:
    def __init__(
        self,
        pool: "asyncpg.Pool[Any]",
        units: Units,
        duties: Duties,
        removal: Removal,
        *,
        abandoned_after: float = ABANDONED_AFTER,
        owed_after: float = OWED_AFTER,
        page: int = PAGE,
    ) -> None:
        self._pool, self._units, self._duties, self._removal = pool, units, duties, removal
        self._age, self._owed, self._page = abandoned_after, owed_after, page
        self._after = self._unborn = FIRST

    async def run_once(self) -> int:
        """Every part has its turn, whatever became of the one before; the first error is raised in the end."""
        done, errors = 0, []
        parts = (self._abandoned, self._orphans, self._settle, self._finish, self._removal.expire, self._forget_keys)
        for part in parts:
            try:
                done += await part()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return done

    async def _abandoned(self) -> int:
        done = 0
        for row in await self._pool.fetch(Q["abandoned"], self._age, None):
            done += await self._discard(row["id"])
        return done

    async def _discard(self, submission: UUID) -> int:
        """Looks again once no chunk of it can be under way: its last one may have come since."""
        async with self._units.begin() as unit:
            db = unit.connection
            row = await db.fetchrow(Q["lock_submission"], submission)
            if row is None or row["status"] != SubmissionStatus.OPEN:
                return 0
            if await db.fetchval(Q["abandoned"], self._age, submission) is None:
                return 0
            await discard(db, submission, "its last chunk never came")
        log.info("submission.abandoned", submission=str(submission))
        return 1

    async def _orphans(self) -> int:
        """What attempts created that did not complete: nobody has seen it, nothing of it stays."""
        done = 0
        rows = await self._pool.fetch(Q["orphans"], self._unborn, self._page)
        self._unborn = rows[-1]["id"] if len(rows) == self._page else FIRST
        for row in rows:
            async with self._units.begin() as unit:
                found = await unit.connection.fetchrow(Q["lock_submission"], row["id"])
                if found is None or found["status"] != SubmissionStatus.OPEN:
                    continue
                await drop_rows(unit.connection, row["id"])
                await unit.connection.execute(Q["drop_unborn"], row["id"])
            log.info("subtasks.discarded", submission=str(row["id"]), parent=str(found["parent"]), tasks=found["tasks"])
            done += 1
        return done

    async def _settle(self) -> int:
        done = 0
        rows = await self._pool.fetch(Q["unsettled"], self._after, self._page)
        self._after = rows[-1]["id"] if len(rows) == self._page else FIRST
        for row in rows:
            if await self._pool.fetchval(Q["open_task"], *store.span(row["id"])) is None:
                done += await settle(self._units, row["id"])
        return done

    async def _finish(self) -> int:
        """What changes of state entail, where whoever made them was killed at it."""
        rows = await self._pool.fetch(Q["owing"], self._owed)
        for row in rows:
            await self._duties.run(row["id"])
        return len(rows)

    async def _forget_keys(self) -> int:
        await forget_keys(self._pool)
        return 0
