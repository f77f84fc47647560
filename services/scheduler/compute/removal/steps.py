"""The steps that purge and delete a session. Each may run again: what is gone is gone.

All that workers and users have stored for a session lies under its own prefix, and nothing else does; an object that was
imported lies elsewhere and belongs to somebody else.
"""

from collections.abc import AsyncIterator
from uuid import UUID

import msgspec

from services.scheduler import store
from services.scheduler.compute.completion.release import tell
from services.scheduler.compute.sessions.duties import Duties
from services.scheduler.machine import SESSION
from services.scheduler.ports import Dispatch, Workers
from shared.chain.context import StepContext
from shared.chain.errors import Later
from shared.contracts import subjects
from shared.contracts.events import Frame, SessionChanged
from shared.contracts.states import SessionStatus, name_of
from shared.contracts.work import Control
from shared.objects.layout import session_prefix
from shared.objects.port import Store
from shared.objects.remove import remove
from shared.service.unit import Unit, Units

Q = store.Q
SLICE = 5000
"""Rows that one transaction takes away or changes."""
AGAIN = 0.5
"""Seconds after which is looked again whether the workers have stopped."""
WHY = "its session is purged"


class OfSession(msgspec.Struct, frozen=True):
    session: UUID


class Removing:
    def __init__(self, units: Units, dispatch: Dispatch, workers: Workers, duties: Duties, objects: Store) -> None:
        self._units, self._dispatch, self._workers = units, dispatch, workers
        self._duties, self._objects = duties, objects

    async def cancel(self, ctx: StepContext, state: OfSession) -> None:
        """A session that is to be deleted is cancelled first, if it can be."""
        async with self._units.begin() as unit:
            row = await unit.connection.fetchrow(
                Q["move_session"], state.session, int(SessionStatus.CANCELLED), SESSION.sources("cancel"), None, True
            )
            if row is not None:
                changed = SessionChanged(state.session, name_of(SessionStatus.CANCELLED), row["version"])
                unit.emit(subjects.event("session", "cancelled", state.session), changed)
        await self._duties.run(state.session)

    async def stop_tasks(self, ctx: StepContext, state: OfSession) -> None:
        """Waits for what its change of state entails, and until no worker holds a task of it."""
        await self._duties.run(state.session)
        async with self._units.begin() as unit:
            rows = await unit.connection.fetch(Q["stop_held"], state.session, WHY)
            aborted = await unit.connection.fetch(Q["abort_outputs"], [row["id"] for row in rows])
            for start in range(0, len(aborted), SLICE):
                frame = Frame(state.session, aborted=[row["id"] for row in aborted[start : start + SLICE]])
                unit.emit(subjects.event("task", "changed", state.session), frame)
        if rows:
            held = [(row["id"], row["attempt"]) for row in rows]
            await self._workers.control(state.session, Control("cancelled", held[:SLICE]))
            raise Later(AGAIN, f"workers to stop {len(rows)} task(s)")

    async def delete_objects(self, ctx: StepContext, state: OfSession) -> None:
        await remove(self._objects, session_prefix(state.session))

    async def forget_values(self, ctx: StepContext, state: OfSession) -> None:
        """Every result is DELETED, whatever it was."""
        await self._forget("delete_standalone", state.session, UUID(int=0))
        for submission in await store.submissions_of(self._units.pool, state.session):
            low, high = store.result_span(submission)
            await self._forget("delete_results", low, high)

    async def _forget(self, query: str, *span: UUID) -> None:
        """Slice by slice, each behind the one before: what is DELETED is not looked at again."""
        span_of = list(span)
        place = 1 if query == "delete_standalone" else 0
        while True:
            async with self._units.begin() as unit:
                rows = await unit.connection.fetch(Q[query], *span_of, SLICE)
                tell(unit, "deleted", rows)
            if len(rows) < SLICE:
                return
            span_of[place] = max(row["id"] for row in rows)

    async def purged(self, ctx: StepContext, state: OfSession) -> None:
        async def work(unit: Unit) -> None:
            row = await unit.connection.fetchrow(
                Q["move_session"], state.session, int(SessionStatus.PURGED), SESSION.sources("purge"), None, False
            )
            await unit.connection.execute(Q["end_operation"], state.session, ctx.chain)
            if row is not None:
                changed = SessionChanged(state.session, name_of(SessionStatus.PURGED), row["version"])
                unit.emit(subjects.event("session", "purged", state.session), changed)

        ctx.commit(work)

    async def drop_rows(self, ctx: StepContext, state: OfSession) -> None:
        pool = self._units.pool
        for submission in await store.submissions_of(pool, state.session):
            low, high = store.span(submission)
            async for piece in self._slices("bound_tasks", UUID(int=low.int - 1), high):
                rows = await pool.fetch(Q["drop_task_slice"], *piece, submission)
                await self._dispatch.ended({row["partition"]: row["tasks"] for row in rows})
            async for piece in self._slices("bound_results", *store.result_span(submission)):
                await pool.execute(Q["drop_result_slice"], *piece)
            await pool.execute(Q["drop_submission"], submission)
        after = UUID(int=0)
        while rows := await pool.fetch(Q["drop_standalone_slice"], state.session, after, SLICE):
            after = max(row["id"] for row in rows)
        await pool.execute(Q["drop_ready"], state.session)

    async def deleted(self, ctx: StepContext, state: OfSession) -> None:
        async def work(unit: Unit) -> None:
            row = await unit.connection.fetchrow(Q["drop_session"], state.session)
            if row is not None:
                changed = SessionChanged(state.session, name_of(SessionStatus.DELETED), row["version"] + 1)
                unit.emit(subjects.event("session", "deleted", state.session), changed)

        ctx.commit(work)

    async def _slices(self, query: str, low: UUID, high: UUID) -> AsyncIterator[tuple[UUID, UUID]]:
        """The ids after `low`, up to `high`, in ranges of `SLICE` rows: behind the first, and the last of each."""
        while (bound := await self._units.pool.fetchval(Q[query], low, high, SLICE)) is not None:
            yield low, bound
            low = bound
        yield low, high
