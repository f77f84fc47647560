"""What a session's change of state entails for its tasks, its results and its queue.

The change itself is one row, and has committed by then, so that nothing new is chosen: who chooses holds the session's row.
`pending_cleanup` in that row says that the rest is still to be done; a kill in between loses nothing: the sweep goes on. What
takes long is done slice by slice, each a transaction of its own with its frame.
"""

import asyncio
from collections import Counter
from uuid import UUID

from services.scheduler.compute.sessions import cleanup_store, store
from services.scheduler.compute.submissions import store as submissions
from services.scheduler.compute.task_events import emit_frame
from services.scheduler.machine import TASK
from services.scheduler.ports import Dispatch, Workers
from services.scheduler.spans import task_span
from shared.contracts.states import SessionStatus, TaskStatus
from shared.db.sql import Row
from shared.runtime.log import log
from shared.service.unit import Unit, Units

SLICE = 5000
"""Tasks, and outputs of theirs, that one transaction ends: their ids fit into one event."""
PATIENCE = 5.0
"""Seconds that a change waits for what it entails: a small session is done when the reply comes."""
WHY = {SessionStatus.CLOSED: "its session was closed", SessionStatus.CANCELLED: "its session was cancelled"}


class Cleanup:
    """Does what is pending of sessions, at once or later. `slice`: tasks, and outputs, that one transaction ends."""

    def __init__(self, units: Units, dispatch: Dispatch, workers: Workers, *, slice: int = SLICE) -> None:
        self._units, self._dispatch, self._workers, self._slice = units, dispatch, workers, slice
        self._running: set[asyncio.Task[None]] = set()

    async def begin(self, session: UUID) -> None:
        """To be called when the change has committed. What takes longer than `PATIENCE` goes on in the background."""
        work = asyncio.get_running_loop().create_task(self._run_logged(session))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        await asyncio.wait({work}, timeout=PATIENCE)

    async def stop(self) -> None:
        """Ends between two slices, or in one, which is then undone."""
        for work in self._running:
            work.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def run_once(self, older: float) -> int:
        """Takes up what was left undone for so many seconds: whoever made the change was killed. Returns in how many sessions."""
        sessions = await cleanup_store.pending(self._units.pool, older)
        for session in sessions:
            await self.run(session)
        return len(sessions)

    async def _run_logged(self, session: UUID) -> None:
        try:
            await self.run(session)
        except Exception as error:
            log.warning("session.change_interrupted", session=str(session), error=repr(error))

    async def run(self, session: UUID) -> None:
        """Does what is pending. Harmless when nothing is, or when somebody else is at it too."""
        row = await store.find(self._units.pool, session)
        if row is None or not row["pending_cleanup"]:
            return
        status = SessionStatus(row["status"])
        if status is SessionStatus.PAUSED:
            await self.finish_pause(session)
        elif status in WHY:
            await self._end_tasks(row, status)

    # -- pause and resume

    async def finish_pause(self, session: UUID) -> None:
        """Harmless when nothing is pending."""
        async with self._units.begin() as unit:
            version = await self._requeue(unit, session)
        # Its row is written when no task is held any more: whoever chooses, retries or preempts holds it first, then tasks.
        if version is not None:
            await cleanup_store.mark_done(self._units.pool, session, version)

    async def _requeue(self, unit: Unit, session: UUID) -> int | None:
        """If a pause is still pending: empties the session's queue, and what was chosen waits again. The session's version then.

        None: it is not; what is pending instead, if the session was cancelled meanwhile, stays so.

        One at a time: who purged later than another had resumed would take away what was dispatched since.
        """
        await cleanup_store.lock_queue(unit.connection, session)
        row = await store.find(unit.connection, session)
        if row is None or not row["pending_cleanup"] or row["status"] != SessionStatus.PAUSED:
            return None
        version: int = row["version"]
        await self._workers.empty_queue(session, "paused", row["epoch"])
        await self._workers.requeue(unit, session)
        return version

    # -- close and cancel

    async def _end_tasks(self, row: Row, status: SessionStatus) -> None:
        session, pool = row["id"], self._units.pool
        if status is SessionStatus.CANCELLED:
            # First: a heartbeat's answer may free a slot as soon as what runs is CANCELLING, and its worker pulls the next.
            await self._workers.purge_queue(session)
            await self._stop_running(session)
        await self._workers.empty_queue(session, "closed" if status is SessionStatus.CLOSED else "cancelled")
        if not row["deleting"]:  # otherwise all of it goes as it is, and nobody can ask for it
            await self._abort_standalone(session)
            for submission in await submissions.ids_of_session(pool, session, hidden=False):
                await self._cancel(session, submission, status)
        await cleanup_store.drop_ready(pool, session)
        await cleanup_store.mark_done(pool, session, row["version"])

    async def _stop_running(self, session: UUID) -> None:
        """What workers run is CANCELLING before they hear of it: their last report may come at once, and counts only then."""
        async with self._units.begin() as unit:
            rows = await cleanup_store.stop_running(unit.connection, session, WHY[SessionStatus.CANCELLED])
            stopping: list[UUID] = [row["id"] for row in rows]
            aborted = await cleanup_store.abort_outputs(unit.connection, stopping)
            for start in range(0, max(len(stopping), len(aborted)), SLICE):
                part = slice(start, start + SLICE)
                emit_frame(unit, session, cancelling=stopping[part], aborted=aborted[part])

    async def _abort_standalone(self, session: UUID) -> None:
        """Results that no task produces: nobody can give them a value any more."""
        after = UUID(int=0)
        while True:
            async with self._units.begin() as unit:
                aborted = await cleanup_store.abort_standalone(unit.connection, session, after, self._slice)
                if aborted:
                    emit_frame(unit, session, aborted=aborted)
            if len(aborted) < self._slice:
                return
            after = max(aborted)

    async def _cancel(self, session: UUID, submission: UUID, status: SessionStatus) -> None:
        """All that has not ended in one submission; when the session was closed, only what no worker is known to hold."""
        sources = TASK.sources("cancel") + (TASK.sources("stop") if status is SessionStatus.CANCELLED else [])
        low, high = task_span(submission)
        while (last := await self._cancel_slice(session, submission, (low, high), sources, WHY[status])) is not None:
            low = last
        await cleanup_store.drop_lanes(self._units.pool, submission)

    async def _cancel_slice(
        self, session: UUID, submission: UUID, span: tuple[UUID, UUID], sources: list[int], why: str
    ) -> UUID | None:
        """The last task of the slice; None when nothing is left."""
        async with self._units.begin() as unit:
            db = unit.connection
            rows = await cleanup_store.cancel_slice(db, submission, span, sources, why, self._slice)
            if not rows:
                return None
            tasks: list[UUID] = [row["id"] for row in rows]
            cancelled = [row["id"] for row in rows if row["status"] == TaskStatus.CANCELLED]
            cancelling = [row["id"] for row in rows if row["status"] == TaskStatus.CANCELLING]
            aborted = await cleanup_store.abort_outputs(db, tasks)
            emit_frame(unit, session, cancelled=cancelled, cancelling=cancelling, aborted=aborted)
            ended = Counter(row["partition"] for row in rows if row["chosen"])
            unit.after.append(lambda: self._dispatch.count_ended(dict(ended)))
        return max(tasks)
