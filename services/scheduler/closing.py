"""Cancels what waits in a session that was closed: slice by slice, each a transaction of its own with its frame.

The close itself has committed by then, so that nothing new is chosen. A kill in between loses nothing: the sweep goes on.
"""

import asyncio
from uuid import UUID

from services.scheduler import store
from services.scheduler.machine import TASK
from services.scheduler.turns import Turns
from shared.bus.unit import Units
from shared.contracts import subjects
from shared.contracts.events import Frame
from shared.runtime.log import log

Q = store.Q
SLICE = 5000
"""Tasks, and outputs of theirs, that one transaction ends: their ids fit into one event."""
PATIENCE = 5.0
"""Seconds that a close waits for the slices: a small session is done when the reply comes."""
WHY = "its session was closed"


class Closing:
    def __init__(self, units: Units, turns: Turns, *, slice: int = SLICE) -> None:
        self._units, self._turns, self._slice = units, turns, slice
        self._running: set[asyncio.Task[None]] = set()

    async def begin(self, session: UUID) -> None:
        """To be called when the close has committed. What takes longer than `PATIENCE` goes on in the background."""
        work = asyncio.get_running_loop().create_task(self._all(session))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        await self._turns.take_back(session, {})
        await asyncio.wait({work}, timeout=PATIENCE)

    async def stop(self) -> None:
        """Ends between two slices, or in one, which is then undone."""
        for work in self._running:
            work.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def _all(self, session: UUID) -> None:
        try:
            for submission in await store.submissions_of(self._units.pool, session):
                await self.cancel(session, submission)
            await self._units.pool.execute(Q["drop_ready"], session)  # what was released while we were at it
        except Exception as error:
            log.warning("session.closing_interrupted", session=str(session), error=repr(error))

    async def cancel(self, session: UUID, submission: UUID) -> int:
        """All that waits in one submission of a closed session. Returns how many tasks that were."""
        done = 0
        low, high = store.span(submission)
        while last := await self._cancel_slice(session, submission, low, high):
            done += last[1]
            low = last[0]
        await self._units.pool.execute(Q["drop_submission_lanes"], submission)
        return done

    async def _cancel_slice(self, session: UUID, submission: UUID, low: UUID, high: UUID) -> tuple[UUID, int] | None:
        """The last task cancelled and how many there were; None when nothing is left."""
        async with self._units.begin() as unit:
            db = unit.connection
            rows = await db.fetch(
                Q["cancel_slice"], low, high, TASK.sources("cancel"), WHY, self._slice, submission
            )  # fmt: skip
            if not rows:
                return None
            cancelled = [row["id"] for row in rows]
            aborted = [row["id"] for row in await db.fetch(Q["abort_outputs"], cancelled)]
            frame = Frame(session, cancelled=cancelled, aborted=aborted)
            unit.tell(subjects.event("task", "changed", session), frame)
            ended: dict[int, int] = {}
            for row in rows:
                if row["chosen"]:
                    ended[row["partition"]] = ended.get(row["partition"], 0) + 1
            unit.after.append(lambda: self._turns.ended(ended))
        return max(cancelled), len(cancelled)
