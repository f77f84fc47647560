"""What was left behind: submissions that were never finished, or whose parent never completed; those whose tasks have all
ended; what a session's change of state entails, where whoever made it was killed; and sessions whose time is over.
"""

from uuid import UUID

from services.scheduler.compute.removal.chains import Removal
from services.scheduler.compute.sessions.cleanup import Cleanup
from services.scheduler.compute.submissions import ending, rows
from services.scheduler.compute.submissions import store as submissions
from services.scheduler.machine import MACHINES
from services.scheduler.spans import task_span
from shared.contracts.states import SubmissionStatus
from shared.db.sql import Db, load
from shared.runtime.log import log
from shared.service.unit import Units

Q = load(__file__, "sweep.sql", MACHINES)
ABANDONED_AFTER = 3600.0
"""Seconds after its newest chunk when a submission whose last chunk has not come is refused."""
CLEANUP_AFTER = 10.0
"""Seconds after a session's change of state when what it entails is taken up here: whoever changed it is at it until then."""
PAGE = 100
"""Submissions looked at in one round; the next round goes on behind them, so that those that wait hide no others."""
FIRST = UUID(int=0)


class Sweep:
    """Every ten seconds. `abandoned_after`, `cleanup_after`: seconds; `page`: submissions looked at in one round."""

    def __init__(
        self,
        pool: Db,
        units: Units,
        cleanup: Cleanup,
        removal: Removal,
        *,
        abandoned_after: float = ABANDONED_AFTER,
        cleanup_after: float = CLEANUP_AFTER,
        page: int = PAGE,
    ) -> None:
        self._pool, self._units, self._cleanup, self._removal = pool, units, cleanup, removal
        self._age, self._cleanup_age, self._page = abandoned_after, cleanup_after, page
        self._after_ended = self._after_orphan = FIRST

    async def run_once(self) -> int:
        """Every part has its turn, whatever became of the one before; the first error is raised in the end."""
        done, errors = 0, []
        for part in (
            self.refuse_abandoned,
            self.drop_orphans,
            self.mark_ended,
            self._finish_cleanup,
            self._removal.expire,
        ):
            try:
                done += await part()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return done

    async def refuse_abandoned(self) -> int:
        """Refuses submissions whose last chunk never came. Returns how many."""
        found = await Q.abandoned.fetch(self._pool, age=self._age)
        return sum([await self.refuse(row["id"]) for row in found])

    async def refuse(self, submission: UUID) -> bool:
        """Looks again once no chunk of it can be under way: its last one may have come since."""
        async with self._units.begin() as unit:
            db = unit.connection
            await submissions.lock(db, submission)
            if not await Q.is_abandoned.fetchval(db, age=self._age, submission=submission):
                return False
            await rows.discard(db, submission, "its last chunk never came")
        log.info("submission.abandoned", submission=str(submission))
        return True

    async def drop_orphans(self) -> int:
        """What attempts created that did not complete: nobody has seen it, nothing of it stays."""
        found = await Q.orphans.fetch(self._pool, after=self._after_orphan, most=self._page)
        self._after_orphan = found[-1]["id"] if len(found) == self._page else FIRST
        return sum([await self._drop_orphan(row["id"]) for row in found])

    async def _drop_orphan(self, submission: UUID) -> bool:
        async with self._units.begin() as unit:
            row = await submissions.lock(unit.connection, submission)
            if row is None or row["status"] != SubmissionStatus.OPEN:
                return False
            await rows.drop(unit.connection, submission)
            await Q.drop_orphan.execute(unit.connection, submission=submission)
        log.info("subtasks.discarded", submission=str(submission), parent=str(row["parent"]), tasks=row["tasks"])
        return True

    async def mark_ended(self) -> int:
        """Marks submissions whose tasks have all ended. Returns how many."""
        done = 0
        found = await ending.ended_candidates(self._pool, self._after_ended, self._page)
        self._after_ended = found[-1] if len(found) == self._page else FIRST
        for submission in found:
            if await ending.first_open_task(self._pool, *task_span(submission)) is None:
                done += await ending.mark_if_ended(self._units, submission)
        return done

    async def _finish_cleanup(self) -> int:
        return await self._cleanup.run_once(self._cleanup_age)
