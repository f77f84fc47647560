"""Sessions: opened, looked at, and led from one state to another."""

from uuid import UUID

import msgspec

from services.scheduler import store
from services.scheduler.compute.lists import lists
from services.scheduler.compute.removal.chains import Removal
from services.scheduler.compute.sessions.duties import Duties
from services.scheduler.heavy_reads import AT_ONCE, HeavyReads
from services.scheduler.machine import SESSION
from services.scheduler.ports import Dispatch, Partitions, Waiting
from shared.contracts import ids, subjects
from shared.contracts.compute import (
    DEFAULT_PARTITION,
    Session,
    SessionCreate,
    SessionGet,
    SessionList,
    SessionPage,
    SessionRef,
    SessionStop,
)
from shared.contracts.endpoints.compute import (
    SESSION_CANCEL,
    SESSION_CLOSE,
    SESSION_CREATE,
    SESSION_DELETE,
    SESSION_GET,
    SESSION_LIST,
    SESSION_PAUSE,
    SESSION_PURGE,
    SESSION_RESUME,
    SESSION_STOP,
)
from shared.contracts.errors import Invalid, NotFound, Unavailable
from shared.contracts.events import SessionChanged
from shared.contracts.states import SessionStatus
from shared.service.access import check
from shared.service.context import Context
from shared.service.service import Service
from shared.service.unit import Unit

Q = store.Q


class Sessions:
    def __init__(
        self,
        db: store.Db,
        partitions: Partitions,
        dispatch: Dispatch,
        waiting: Waiting,
        duties: Duties,
        removal: Removal,
        heavy: HeavyReads,
    ) -> None:
        self._db, self._partitions, self._dispatch, self._waiting = db, partitions, dispatch, waiting
        self._duties, self._removal, self._heavy = duties, removal, heavy

    def register(self, service: Service) -> None:
        service.on(SESSION_CREATE, self.create)
        service.on(SESSION_GET, self.get, at_once=AT_ONCE)
        service.on(SESSION_LIST, self.list, at_once=AT_ONCE)
        service.on(SESSION_PAUSE, self.pause)
        service.on(SESSION_RESUME, self.resume, before=self.paused)
        service.on(SESSION_CLOSE, self.close)
        service.on(SESSION_CANCEL, self.cancel)
        service.on(SESSION_STOP, self.stop)
        service.on(SESSION_PURGE, self.purge)
        service.on(SESSION_DELETE, self.delete)

    async def create(self, unit: Unit, ctx: Context, request: SessionCreate) -> Session:
        wanted = list(dict.fromkeys(request.partitions)) or [DEFAULT_PARTITION]
        known = await self._partitions.hold(unit.connection, wanted)
        for place, name in enumerate(wanted):
            if name not in known:
                raise NotFound(f"there is no partition {name!r}", field=f"partitions[{place}]")
        if request.options.partition is not None and request.options.partition not in wanted:
            raise Invalid(
                f"{request.options.partition!r} is not among the session's partitions", field="options.partition"
            )
        options = msgspec.json.encode(request.options).decode()
        row = await unit.connection.fetchrow(
            Q["create_session"],
            ids.uuid7(),
            request.name,
            ctx.user,
            wanted,
            options,
            None,
            request.ttl,
            request.close_when_done,
        )
        return _told(unit, row, "created")

    async def get(self, ctx: Context, request: SessionGet) -> Session:
        row = await store.session(self._db, request.session)
        check(ctx, row)
        if not request.counts:
            return store.session_of(row)
        async with self._heavy.place(ctx) as db:  # it reads all tasks
            unplaced = await self._waiting.unplaced(db, request.session)
            return store.session_of(row, await store.counts(db, row, unplaced))

    async def list(self, ctx: Context, request: SessionList) -> SessionPage:
        owner = None if ctx.is_admin else ctx.user
        async with self._heavy.place(ctx) as db:
            return await lists.sessions(db, owner, request)

    async def pause(self, unit: Unit, ctx: Context, request: SessionRef) -> Session:
        """Nothing new begins: what was chosen waits again (see `Duties`), what runs finishes."""
        row = await self._move(unit, ctx, "pause", request.session, owed=True)
        unit.after.append(lambda: self._duties.begin(request.session))
        return _told(unit, row, "paused")

    async def paused(self, ctx: Context, request: SessionRef) -> SessionRef:
        """What a pause still owes, before a resume: its tasks are not held while the session's row is written."""
        check(ctx, await store.session(self._db, request.session))
        await self._duties.finish_pause(request.session)
        return request

    async def resume(self, unit: Unit, ctx: Context, request: SessionRef) -> Session:
        """What waited has its turn again. A running session stays as it is."""
        await unit.connection.execute(Q["lock_queue"], str(request.session))  # nobody is at its pause any more
        row = await store.session(unit.connection, request.session, "lock_session")
        if row["owed"] and row["status"] == SessionStatus.PAUSED:
            raise Unavailable(f"session {request.session} was paused again just now; try again")
        row = await self._move(unit, ctx, "resume", request.session, owed=False)
        unit.after.append(self._dispatch.wake)
        return _told(unit, row, "resumed")

    async def close(self, unit: Unit, ctx: Context, request: SessionRef) -> Session:
        """What waits is cancelled (see `Duties`), what workers are known to run finishes."""
        row = await self._move(unit, ctx, "close", request.session, owed=True)
        unit.after.append(lambda: self._duties.begin(request.session))
        return _told(unit, row, "closed")

    async def cancel(self, unit: Unit, ctx: Context, request: SessionRef) -> Session:
        """As `close`, and what workers run is stopped: CANCELLING until they have."""
        row = await self._move(unit, ctx, "cancel", request.session, owed=True)
        unit.after.append(lambda: self._duties.begin(request.session))
        return _told(unit, row, "cancelled")

    async def stop(self, unit: Unit, ctx: Context, request: SessionStop) -> Session:
        row = await store.session(unit.connection, request.session, "lock_session")
        check(ctx, row)
        if not request.client and not request.worker:
            raise Invalid("say whose submission ends: client, worker, or both", field="client")
        row = await unit.connection.fetchrow(Q["stop_submission"], request.session, request.client, request.worker)
        return _told(unit, row, "stopped")

    async def purge(self, unit: Unit, ctx: Context, request: SessionRef) -> Session:
        """The status is checked first; then a chain deletes the values, and the session is PURGED at its end."""
        row = await store.session(unit.connection, request.session, "lock_session")
        check(ctx, row)
        if row["operation"] is None:
            SESSION.check("purge", SessionStatus(row["status"]), request.session)
            row = await self._removal.purge(unit, request.session)
        return store.session_of(row)

    async def delete(self, unit: Unit, ctx: Context, request: SessionRef) -> Session:
        """A chain cancels and purges what is left, then takes the rows away."""
        row = await store.session(unit.connection, request.session, "lock_session")
        check(ctx, row)
        row = await self._removal.delete(unit, row)
        return store.session_of(row)

    async def _move(self, unit: Unit, ctx: Context, verb: str, session: UUID, *, owed: bool) -> store.Row:
        db = unit.connection
        row = await store.session(db, session, "lock_session")
        check(ctx, row)
        target = SESSION.check(verb, SessionStatus(row["status"]), session)
        moved: store.Row = await db.fetchrow(Q["move_session"], session, int(target), SESSION.sources(verb), None, owed)
        return moved


def _told(unit: Unit, row: store.Row, event: str) -> Session:
    session = store.session_of(row)
    told = SessionChanged(session.id, session.status, session.version)
    unit.emit(subjects.event("session", event, session.id), told)
    return session
