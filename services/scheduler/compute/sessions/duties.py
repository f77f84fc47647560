"""What a session's change of state entails for its tasks, its results and its queue.

The change itself is one row, and has committed by then, so that nothing new is chosen (who chooses holds the session's row,
see 0005_sessions.sql). `owed` in that row says that the rest is still to be done; a kill in between loses nothing: the sweep
goes on. What takes long is done slice by slice, each a transaction of its own with its frame.
"""

import asyncio
from collections import Counter
from uuid import UUID

from services.scheduler import store
from services.scheduler.machine import TASK
from services.scheduler.ports import Dispatch, Workers
from shared.contracts import subjects
from shared.contracts.events import Frame
from shared.contracts.states import SessionStatus, TaskStatus
from shared.runtime.log import log
from shared.service.unit import Unit, Units

Q = store.Q
SLICE = 5000
"""Tasks, and outputs of theirs, that one transaction ends: their ids fit into one event."""
PATIENCE = 5.0
"""Seconds that a change waits for what it entails: a small session is done when the reply comes."""
WHY = {SessionStatus.CLOSED: "its session was closed", SessionStatus.CANCELLED: "its session was cancelled"}


class Duties:
    def __init__(self, units: Units, dispatch: Dispatch, workers: Workers, *, slice: int = SLICE) -> None:
        self._units, self._dispatch, self._workers, self._slice = units, dispatch, workers, slice
        self._running: set[asyncio.Task[None]] = set()

    async def begin(self, session: UUID) -> None:
        """To be called when the change has committed. What takes longer than `PATIENCE` goes on in the background."""
        work = asyncio.get_running_loop().create_task(self._quietly(session))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        await asyncio.wait({work}, timeout=PATIENCE)

    async def stop(self) -> None:
        """Ends between two slices, or in one, which is then undone."""
        for work in self._running:
            work.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def _quietly(self, session: UUID) -> None:
        try:
            await self.run(session)
        except Exception as error:
            log.warning("session.change_interrupted", session=str(session), error=repr(error))

    async def run(self, session: UUID) -> None:
        """Does what is owed. Harmless when nothing is, or when somebody else is at it too."""
        row = await self._units.pool.fetchrow(Q["session"], session)
        if row is None or not row["owed"]:
            return
        status = SessionStatus(row["status"])
        if status is SessionStatus.PAUSED:
            await self.finish_pause(session)
        elif status in WHY:
            if status is SessionStatus.CANCELLED:
                await self._stop_held(session)
            await self._workers.take_back(session, "closed" if status is SessionStatus.CLOSED else "cancelled")
            if not row["deleting"]:  # otherwise all of it goes as it is, and nobody can ask for it
                await self._abort_standalone(session)
                for submission in await store.submissions_of(self._units.pool, session, unborn=False):
                    await self._cancel(session, submission, status)
            await self._units.pool.execute(Q["drop_ready"], session)
            await self._units.pool.execute(Q["settle_session"], session, row["version"])

    # -- pause and resume

    async def finish_pause(self, session: UUID) -> None:
        """Harmless when nothing is owed."""
        async with self._units.begin() as unit:
            version = await self._queued_back(unit, session)
        # Its row is written when no task is held any more: whoever chooses, retries or preempts holds it first, then tasks.
        if version is not None:
            await self._units.pool.execute(Q["settle_session"], session, version)

    async def _queued_back(self, unit: Unit, session: UUID) -> int | None:
        """If a pause is still owed: empties the session's queue, and what was chosen waits again. The session's version then.

        None: it is not; what is owed instead, if the session was cancelled meanwhile, stays owed.

        One at a time: who purged later than another had resumed would take away what was dispatched since.
        """
        db = unit.connection
        await db.execute(Q["lock_queue"], str(session))
        row = await db.fetchrow(Q["session"], session)
        if row is None or not row["owed"] or row["status"] != SessionStatus.PAUSED:
            return None
        version: int = row["version"]
        await self._workers.take_back(session, "paused", row["epoch"])
        await self._workers.requeue(unit, session)
        return version

    # -- close and cancel

    async def _stop_held(self, session: UUID) -> None:
        """What workers run is CANCELLING before they are told: their last word may come at once, and counts only then."""
        async with self._units.begin() as unit:
            rows = await unit.connection.fetch(Q["stop_held"], session, WHY[SessionStatus.CANCELLED])
            stopping: list[UUID] = [row["id"] for row in rows]
            aborted = [row["id"] for row in await unit.connection.fetch(Q["abort_outputs"], stopping)]
            for start in range(0, max(len(stopping), len(aborted)), SLICE):
                part = slice(start, start + SLICE)
                frame = Frame(session, cancelling=stopping[part], aborted=aborted[part])
                unit.emit(subjects.event("task", "changed", session), frame)

    async def _abort_standalone(self, session: UUID) -> None:
        """Results that no task produces: nobody can give them a value any more."""
        after = UUID(int=0)
        while True:
            async with self._units.begin() as unit:
                rows = await unit.connection.fetch(Q["abort_standalone"], session, after, self._slice)
                if rows:
                    frame = Frame(session, aborted=[row["id"] for row in rows])
                    unit.emit(subjects.event("task", "changed", session), frame)
            if len(rows) < self._slice:
                return
            after = max(row["id"] for row in rows)

    async def _cancel(self, session: UUID, submission: UUID, status: SessionStatus) -> None:
        """All that has not ended in one submission; when the session was closed, only what no worker is known to hold."""
        sources = TASK.sources("cancel") + (TASK.sources("stop") if status is SessionStatus.CANCELLED else [])
        low, high = store.span(submission)
        while (last := await self._cancel_slice(session, submission, low, high, sources, WHY[status])) is not None:
            low = last
        await self._units.pool.execute(Q["drop_submission_lanes"], submission)

    async def _cancel_slice(
        self, session: UUID, submission: UUID, low: UUID, high: UUID, sources: list[int], why: str
    ) -> UUID | None:
        """The last task of the slice; None when nothing is left."""
        async with self._units.begin() as unit:
            db = unit.connection
            rows = await db.fetch(Q["cancel_slice"], low, high, sources, why, self._slice, submission)
            if not rows:
                return None
            tasks: list[UUID] = [row["id"] for row in rows]
            cancelled = [row["id"] for row in rows if row["status"] == TaskStatus.CANCELLED]
            cancelling = [row["id"] for row in rows if row["status"] == TaskStatus.CANCELLING]
            aborted = [row["id"] for row in await db.fetch(Q["abort_outputs"], tasks)]
            frame = Frame(session, cancelled=cancelled, cancelling=cancelling, aborted=aborted)
            unit.emit(subjects.event("task", "changed", session), frame)
            ended = Counter(row["partition"] for row in rows if row["chosen"])
            unit.after.append(lambda: self._dispatch.ended(dict(ended)))
        return max(tasks)
