"""Sessions: opened, looked at, and led from one state to another."""

from uuid import UUID

from services.scheduler.compute.lists import lists
from services.scheduler.compute.removal.chains import Removal
from services.scheduler.compute.sessions import cleanup_store, of_offer, store
from services.scheduler.compute.sessions.cleanup import Cleanup
from services.scheduler.compute.sessions.store import session_of
from services.scheduler.heavy_reads import AT_ONCE, HeavyReads
from services.scheduler.machine import SESSION
from services.scheduler.ports import Dispatch, Partitions, Waiting
from shared.contracts import subjects
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
from shared.db.sql import Db, Row
from shared.service.access import check_owner
from shared.service.context import Context
from shared.service.service import Service
from shared.service.unit import Unit


class Sessions:
    """Answers what users ask of sessions."""

    def __init__(
        self,
        db: Db,
        partitions: Partitions,
        dispatch: Dispatch,
        waiting: Waiting,
        cleanup: Cleanup,
        removal: Removal,
        heavy: HeavyReads,
    ) -> None:
        self._db, self._partitions, self._dispatch, self._waiting = db, partitions, dispatch, waiting
        self._cleanup, self._removal, self._heavy = cleanup, removal, heavy

    def register(self, service: Service) -> None:
        """Registers the handlers."""
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
        """A new session, RUNNING. NotFound names a partition that does not exist."""
        partitions = list(dict.fromkeys(request.partitions)) or [DEFAULT_PARTITION]
        known = await self._partitions.hold(unit.connection, partitions)
        for place, name in enumerate(partitions):
            if name not in known:
                raise NotFound(f"there is no partition {name!r}", field=f"partitions[{place}]")
        if request.options.partition is not None and request.options.partition not in partitions:
            raise Invalid(
                f"{request.options.partition!r} is not among the session's partitions", field="options.partition"
            )
        id = of_offer.session_id(ctx, partitions)
        if id is not None and (row := await store.find(unit.connection, id)) is not None:  # it was opened before
            check_owner(ctx, row, id)
            return session_of(row)
        row = await store.create(unit.connection, ctx.user, partitions, request, id)
        return _emit(unit, row, "created")

    async def get(self, ctx: Context, request: SessionGet) -> Session:
        """A session, and where its tasks are if that is asked for."""
        of_offer.check(ctx, request.session)
        row = await store.get(self._db, request.session)
        check_owner(ctx, row, request.session)
        if not request.counts:
            return session_of(row)
        async with self._heavy.place(ctx) as db:  # it reads all tasks
            unplaced = await self._waiting.unplaced(db, request.session)
            return session_of(row, await store.count_tasks(db, row, unplaced))

    async def list(self, ctx: Context, request: SessionList) -> SessionPage:
        """A page of the caller's sessions, of everybody's for the admin."""
        owner = None if ctx.is_admin else ctx.user
        async with self._heavy.place(ctx) as db:
            return await lists.sessions(db, owner, request)

    async def pause(self, unit: Unit, ctx: Context, request: SessionRef) -> Session:
        """Nothing new begins: what was chosen waits again (see `Cleanup`), what runs finishes."""
        row = await self._move(unit, ctx, "pause", request.session, cleanup=True)
        unit.after.append(lambda: self._cleanup.begin(request.session))
        return _emit(unit, row, "paused")

    async def paused(self, ctx: Context, request: SessionRef) -> SessionRef:
        """Finishes a pending pause before a resume: its tasks are not held while the session's row is written."""
        check_owner(ctx, await store.get(self._db, request.session), request.session)
        await self._cleanup.finish_pause(request.session)
        return request

    async def resume(self, unit: Unit, ctx: Context, request: SessionRef) -> Session:
        """What waited has its turn again. A running session stays as it is."""
        await cleanup_store.lock_queue(unit.connection, request.session)  # nobody is at its pause any more
        row = await store.lock(unit.connection, request.session)
        if row["pending_cleanup"] and row["status"] == SessionStatus.PAUSED:
            raise Unavailable(f"session {request.session} was paused again just now; try again")
        row = await self._move(unit, ctx, "resume", request.session, cleanup=False)
        unit.after.append(self._dispatch.wake)
        return _emit(unit, row, "resumed")

    async def close(self, unit: Unit, ctx: Context, request: SessionRef) -> Session:
        """What waits is cancelled (see `Cleanup`), what workers are known to run finishes."""
        of_offer.check(ctx, request.session)
        row = await self._move(unit, ctx, "close", request.session, cleanup=True)
        unit.after.append(lambda: self._cleanup.begin(request.session))
        return _emit(unit, row, "closed")

    async def cancel(self, unit: Unit, ctx: Context, request: SessionRef) -> Session:
        """As `close`, and what workers run is stopped: CANCELLING until they have."""
        row = await self._move(unit, ctx, "cancel", request.session, cleanup=True)
        unit.after.append(lambda: self._cleanup.begin(request.session))
        return _emit(unit, row, "cancelled")

    async def stop(self, unit: Unit, ctx: Context, request: SessionStop) -> Session:
        """Clients, or workers, submit nothing more to it."""
        row = await store.lock(unit.connection, request.session)
        check_owner(ctx, row, request.session)
        if not request.client and not request.worker:
            raise Invalid("say whose submission ends: client, worker, or both", field="client")
        row = await store.stop_submissions(
            unit.connection, request.session, client=request.client, worker=request.worker
        )
        return _emit(unit, row, "stopped")

    async def purge(self, unit: Unit, ctx: Context, request: SessionRef) -> Session:
        """The status is checked first; then a chain deletes the values, and the session is PURGED at its end."""
        row = await store.lock(unit.connection, request.session)
        check_owner(ctx, row, request.session)
        if row["operation"] is None:
            SESSION.check("purge", SessionStatus(row["status"]), request.session)
            row = await self._removal.purge(unit, row)
        return session_of(row)

    async def delete(self, unit: Unit, ctx: Context, request: SessionRef) -> Session:
        """A chain cancels and purges what is left, then takes the rows away."""
        row = await store.lock(unit.connection, request.session)
        check_owner(ctx, row, request.session)
        row = await self._removal.delete(unit, row)
        return session_of(row)

    async def _move(self, unit: Unit, ctx: Context, verb: str, session: UUID, *, cleanup: bool) -> Row:
        row = await store.lock(unit.connection, session)
        check_owner(ctx, row, session)
        SESSION.check(verb, SessionStatus(row["status"]), session)
        return await store.move(unit.connection, session, verb, cleanup=cleanup)


def _emit(unit: Unit, row: Row, event: str) -> Session:
    session = session_of(row)
    changed = SessionChanged(session.id, session.status, session.version)
    unit.emit(subjects.event("session", event, session.id), changed)
    return session
