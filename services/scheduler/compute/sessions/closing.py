"""Sessions that close when they are done: those that were made so, and whose tasks have all ended.

A session is looked at when reports have ended tasks of it, and every ten seconds in any case. It is done when each of its
submissions has ended (see `submissions.ending`), there is one at least, and none is still coming. Subtasks are counted: they
are visible in the transaction that completes their parent. So are tasks that run again: their submission has then not ended any
more, under the session's row. The guard is one UPDATE under the same row's lock.

Nothing is taken back and nothing is cancelled, so a session that closed by itself can be opened again: running one of its
tasks again does (`tasks.rerun`).
"""

from collections.abc import Collection
from uuid import UUID

from services.scheduler.compute.sessions import store
from services.scheduler.compute.submissions import ending
from services.scheduler.machine import MACHINES
from services.scheduler.spans import task_span
from shared.contracts import subjects
from shared.contracts.errors import NotFound
from shared.contracts.events import SessionChanged
from shared.contracts.states import SessionStatus, SubmissionStatus, name_of
from shared.db.sql import Db, Row, load
from shared.runtime.log import log
from shared.service.unit import Units

Q = load(__file__, "closing.sql", MACHINES)
PAGE = 100
"""Sessions looked at in one round that nothing was reported of; the next round goes on behind them."""
EVERY = 20
"""Rounds between two such looks."""
REMEMBERED = 10_000
"""Sessions of which a task that has not ended is remembered."""
FIRST = UUID(int=0)


class Closing:
    """Notes the sessions whose tasks end, and closes those that are done."""

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
        pool = self._units.pool
        touched, self._touched = self._touched, set()
        sessions = set(await candidates(pool, touched) if touched else ())
        self._round += 1
        if self._round % EVERY == 0:
            others = await candidates_after(pool, self._after, PAGE)
            self._after = others[-1] if len(others) == PAGE else FIRST
            sessions.update(others)
        return sum([await self._close(session) for session in sessions])

    async def _close(self, session: UUID) -> bool:
        if not await self._has_ended(session):
            return False
        self._open.pop(session, None)
        async with self._units.begin() as unit:
            try:
                await store.lock(unit.connection, session)
            except NotFound:  # deleted since it was looked at
                return False
            row = await close(unit.connection, session)
            if row is not None:
                changed = SessionChanged(session, name_of(SessionStatus.CLOSED), row["version"])
                unit.emit(subjects.event("session", "closed", session), changed)
        if row is not None:
            log.info("session.closed_itself", session=str(session))
        return row is not None

    async def _has_ended(self, session: UUID) -> bool:
        """Whether all of its submissions have, now. Stops at the first task that has not ended, and remembers it."""
        for row in await ending.open_of_session(self._units.pool, session):
            if row["status"] == SubmissionStatus.OPEN:
                return False
            low, high = task_span(row["id"])
            known = self._open.get(session, FIRST)
            if (found := await ending.first_open_task(self._units.pool, max(low, known), high)) is not None:
                if len(self._open) >= REMEMBERED:
                    self._open.clear()
                self._open[session] = found
                return False
            self._open.pop(session, None)
            if not await ending.mark_if_ended(self._units, row["id"]):
                return False
        return True


async def candidates(db: Db, sessions: Collection[str]) -> list[UUID]:
    """Those of these sessions that are RUNNING and close when they are done."""
    return [row["id"] for row in await Q.candidates.fetch(db, sessions=[UUID(one) for one in sessions])]


async def candidates_after(db: Db, after: UUID, most: int) -> list[UUID]:
    """The next such sessions in the order of ids."""
    return [row["id"] for row in await Q.candidates_after.fetch(db, after=after, most=most)]


async def close(db: Db, session: UUID) -> Row | None:
    """The session's row if it was done, and is CLOSED now. The caller has locked it."""
    row: Row | None = await Q.close.fetchrow(db, session=session)
    return row
