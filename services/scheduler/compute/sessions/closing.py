"""Sessions that close when they are done: those that were made so, and whose tasks have all ended.

A session is looked at when reports have ended tasks of it, and every ten seconds in any case. It is done when each of its
submissions is settled (every task has ended, see `settle`), there is one at least, and none is still coming. Subtasks are
counted: they are visible in the transaction that completes their parent. So are tasks that run again: that unsettles their
submission, under the session's row. The guard is one UPDATE under the same row's lock.

Nothing is taken back and nothing is cancelled, so a session that closed by itself can be opened again: running one of its
tasks again does (`Changes.rerun`).
"""

from uuid import UUID

from services.scheduler import store
from shared.contracts import subjects
from shared.contracts.events import SessionChanged
from shared.contracts.states import SessionStatus, SubmissionStatus, name_of
from shared.runtime.log import log
from shared.service.unit import Units

Q = store.Q
PAGE = 100
"""Sessions looked at in one round that nothing was reported of; the next round goes on behind them."""
EVERY = 20
"""Rounds between two such looks."""
FIRST = UUID(int=0)


class Closing:
    def __init__(self, units: Units) -> None:
        self._units = units
        self._touched: set[str] = set()
        self._open: dict[UUID, UUID] = {}  # by session: a task that had not ended when it was looked at last
        self._round, self._after = 0, FIRST

    def touch(self, session: str) -> None:
        """A task of it may have ended. Called for each batch of reports: it only notes it."""
        self._touched.add(session)

    async def run_once(self) -> int:
        """How many sessions have closed."""
        touched, self._touched = self._touched, set()
        rows = await self._units.pool.fetch(Q["closing"], [UUID(one) for one in touched]) if touched else []
        self._round += 1
        if self._round % EVERY == 0:
            others = await self._units.pool.fetch(Q["closing_after"], self._after, PAGE)
            self._after = others[-1]["id"] if len(others) == PAGE else FIRST
            rows = [*rows, *others]
        return sum([await self._close(session) for session in {row["id"] for row in rows}])

    async def _close(self, session: UUID) -> bool:
        if not await self._settled(session):
            return False
        self._open.pop(session, None)
        async with self._units.begin() as unit:
            await unit.connection.execute(Q["lock_session"], session)
            row = await unit.connection.fetchrow(Q["close_done"], session)
            if row is not None:
                changed = SessionChanged(session, name_of(SessionStatus.CLOSED), row["version"])
                unit.emit(subjects.event("session", "closed", session), changed)
        if row is not None:
            log.info("session.closed_itself", session=str(session))
        return row is not None

    async def _settled(self, session: UUID) -> bool:
        """Whether all of its submissions are, now. Stops at the first task that has not ended, and remembers it."""
        for row in await self._units.pool.fetch(Q["unsettled_of_session"], session):
            if row["status"] == SubmissionStatus.OPEN:
                return False
            low, high = store.span(row["id"])
            known = self._open.get(session, FIRST)
            if (found := await self._units.pool.fetchval(Q["open_task"], max(low, known), high)) is not None:
                if len(self._open) >= 10_000:
                    self._open.clear()
                self._open[session] = found
                return False
            self._open.pop(session, None)
            if not await settle(self._units, row["id"]):
                return False
        return True


async def settle(units: Units, submission: UUID) -> bool:
    """Marks a submission whose tasks have all ended. Under its lock: one of them may just be run again."""
    async with units.begin() as unit:
        db, span = unit.connection, store.span(submission)
        await db.execute(Q["lock_submission"], submission)
        if await db.fetchval(Q["open_task"], *span) is not None:
            return False
        await db.execute(Q["settle"], submission)
    return True
