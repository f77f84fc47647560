"""The steps that purge and delete a session. Each may run again: what is gone is gone.

All that workers and users have stored for a session lies under its own prefix, and nothing else does; an object that was
imported lies elsewhere and belongs to somebody else.
"""

from uuid import UUID

import msgspec

from services.scheduler.compute.removal import store
from services.scheduler.compute.sessions import cleanup_store
from services.scheduler.compute.sessions import store as sessions
from services.scheduler.compute.sessions.cleanup import Cleanup
from services.scheduler.compute.submissions import store as submissions
from services.scheduler.compute.task_events import emit_changes, emit_frame
from services.scheduler.ports import Dispatch, Workers
from services.scheduler.spans import result_span, task_span
from shared.chain.context import StepContext
from shared.chain.errors import Later
from shared.contracts import subjects
from shared.contracts.events import SessionChanged
from shared.contracts.operations import Amount
from shared.contracts.states import SessionStatus, name_of
from shared.contracts.work import Control
from shared.objects.layout import session_prefix
from shared.objects.port import Store
from shared.objects.remove import remove
from shared.service.unit import Unit, Units

SLICE = 5000
"""Ids in one event, or in one message to the workers."""
AGAIN = 0.5
"""Seconds after which is looked again whether the workers have stopped."""
WHY = "its session is purged"
FIRST = UUID(int=0)


class OfSession(msgspec.Struct, frozen=True):
    """What a chain of a session is about."""

    session: UUID


class RemovalSteps:
    """What the chains of `Removal` do, in the order in which they do it."""

    def __init__(self, units: Units, dispatch: Dispatch, workers: Workers, cleanup: Cleanup, objects: Store) -> None:
        self._units, self._dispatch, self._workers = units, dispatch, workers
        self._cleanup, self._objects = cleanup, objects

    async def cancel(self, ctx: StepContext, state: OfSession) -> None:
        """A session that is to be deleted is cancelled first, if it can be."""
        async with self._units.begin() as unit:
            row = await sessions.move(unit.connection, state.session, "cancel", cleanup=True)
            if row is not None:
                _emit(unit, state.session, SessionStatus.CANCELLED, row["version"])
        await self._cleanup.run(state.session)

    async def stop_tasks(self, ctx: StepContext, state: OfSession) -> None:
        """Waits for what its change of state entails, and until no worker holds a task of it."""
        await self._cleanup.run(state.session)
        async with self._units.begin() as unit:
            rows = await cleanup_store.stop_running(unit.connection, state.session, WHY)
            aborted = await cleanup_store.abort_outputs(unit.connection, [row["id"] for row in rows])
            for start in range(0, len(aborted), SLICE):
                emit_frame(unit, state.session, aborted=aborted[start : start + SLICE])
        if rows:
            held = [(row["id"], row["attempt"]) for row in rows]
            await self._workers.control(state.session, Control("cancelled", held[:SLICE]))
            raise Later(AGAIN, f"workers to stop {len(rows)} task(s)")

    async def delete_objects(self, ctx: StepContext, state: OfSession) -> None:
        """All objects of a session."""
        removed = await remove(self._objects, session_prefix(state.session))
        await ctx.progress(objects=Amount(removed))

    async def delete_values(self, ctx: StepContext, state: OfSession) -> None:
        """Every result is DELETED, whatever it was. Slice by slice, each behind the one before."""
        deleted, after = 0, FIRST
        while True:
            async with self._units.begin() as unit:
                rows = await store.delete_standalone(unit.connection, state.session, after)
                emit_changes(unit, "deleted", rows)
            deleted += len(rows)
            if len(rows) < store.SLICE:
                break
            after = max(row["id"] for row in rows)
        for submission in await submissions.ids_of_session(self._units.pool, state.session):
            deleted += await self._delete_results(submission)
        await ctx.progress(results=Amount(deleted))

    async def _delete_results(self, submission: UUID) -> int:
        """How many there were."""
        deleted, (below, last) = 0, result_span(submission)
        while True:
            async with self._units.begin() as unit:
                rows = await store.delete_results(unit.connection, (below, last))
                emit_changes(unit, "deleted", rows)
            deleted += len(rows)
            if len(rows) < store.SLICE:
                return deleted
            below = max(row["id"] for row in rows)

    async def mark_purged(self, ctx: StepContext, state: OfSession) -> None:
        """The last step of a purge."""

        async def work(unit: Unit) -> None:
            row = await sessions.move(unit.connection, state.session, "purge", cleanup=False)
            await store.end_operation(unit.connection, state.session, ctx.chain)
            if row is not None:
                _emit(unit, state.session, SessionStatus.PURGED, row["version"])
            if (
                row := await sessions.find(unit.connection, state.session)
            ) is not None:  # None: it was deleted meanwhile
                ctx.set_result(sessions.session_of(row))

        ctx.commit(work)

    async def drop_rows(self, ctx: StepContext, state: OfSession) -> None:
        """All rows of a session but its own."""
        pool = self._units.pool
        for submission in await submissions.ids_of_session(pool, state.session):
            first, last = task_span(submission)
            async for piece in store.task_slices(pool, (UUID(int=first.int - 1), last)):
                await self._dispatch.count_ended(await store.drop_tasks(pool, piece, submission))
            async for piece in store.result_slices(pool, result_span(submission)):
                await store.drop_results(pool, piece)
            await store.drop_submission(pool, submission)
        after = FIRST
        while results := await store.drop_standalone(pool, state.session, after):
            after = max(results)
        await cleanup_store.drop_ready(pool, state.session)

    async def drop_session(self, ctx: StepContext, state: OfSession) -> None:
        """The last step of a deletion."""

        async def work(unit: Unit) -> None:
            row = await store.drop_session(unit.connection, state.session)
            if row is not None:
                _emit(unit, state.session, SessionStatus.DELETED, row["version"] + 1)

        ctx.commit(work)


def _emit(unit: Unit, session: UUID, status: SessionStatus, version: int) -> None:
    changed = SessionChanged(session, name_of(status), version)
    unit.emit(subjects.event("session", name_of(status), session), changed)
