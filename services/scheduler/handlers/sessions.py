"""Sessions."""

import msgspec

from services.scheduler import lists, store
from services.scheduler.closing import SLICE, Closing
from services.scheduler.machine import SESSION
from shared.bus.access import check
from shared.bus.context import Context
from shared.bus.service import Service
from shared.bus.unit import Unit
from shared.contracts import ids, subjects
from shared.contracts.compute import (
    DEFAULT_PARTITION,
    Session,
    SessionCreate,
    SessionGet,
    SessionList,
    SessionPage,
    SessionRef,
)
from shared.contracts.errors import Invalid, NotFound
from shared.contracts.events import Frame, SessionChanged
from shared.contracts.states import SessionStatus

Q = store.Q


class Sessions:
    def __init__(self, db: store.Db, closing: Closing) -> None:
        self._db, self._closing = db, closing

    def register(self, service: Service) -> None:
        service.writes("session", "create", SessionCreate, self.create)
        service.reads("session", "get", SessionGet, self.get)
        service.reads("session", "list", SessionList, self.list)
        service.writes("session", "close", SessionRef, self.close)

    async def create(self, unit: Unit, ctx: Context, request: SessionCreate) -> Session:
        wanted = list(dict.fromkeys(request.partitions)) or [DEFAULT_PARTITION]
        known = await store.partitions(unit.connection)
        for place, name in enumerate(wanted):
            if name not in known:
                raise NotFound(f"there is no partition {name!r}", field=f"partitions[{place}]")
        if request.options.partition is not None and request.options.partition not in wanted:
            raise Invalid(
                f"{request.options.partition!r} is not among the session's partitions", field="options.partition"
            )
        options = msgspec.json.encode(request.options).decode()
        row = await unit.connection.fetchrow(
            Q["create_session"], ids.uuid7(), request.name, ctx.user, wanted, options, None
        )
        session = store.session_of(row)
        unit.tell(subjects.event("session", "created", session.id), SessionChanged(session.id, session.status, 1))
        return session

    async def get(self, ctx: Context, request: SessionGet) -> Session:
        row = await store.session(self._db, request.session)
        check(ctx, row)
        return store.session_of(row, await store.counts(self._db, row) if request.counts else None)

    async def list(self, ctx: Context, request: SessionList) -> SessionPage:
        owner = None if ctx.is_operator else ctx.user
        return await lists.sessions(self._db, owner, request)

    async def close(self, unit: Unit, ctx: Context, request: SessionRef) -> Session:
        """Nothing new begins: what waits is cancelled (see `Closing`), what workers are known to run finishes."""
        db = unit.connection
        row = await store.session(db, request.session, "lock_session")
        check(ctx, row)
        target = SESSION.check("close", SessionStatus(row["status"]), request.session)
        row = await db.fetchrow(Q["move_session"], request.session, int(target), SESSION.sources("close"), None)
        aborted = [result["id"] for result in await db.fetch(Q["abort_standalone"], request.session)]
        await db.execute(Q["end_lanes"], request.session)
        await db.execute(Q["drop_ready"], request.session)
        session = store.session_of(row)
        for start in range(0, len(aborted), SLICE):
            frame = Frame(request.session, aborted=aborted[start : start + SLICE])
            unit.tell(subjects.event("task", "changed", request.session), frame)
        unit.tell(
            subjects.event("session", "closed", session.id),
            SessionChanged(session.id, session.status, session.version),
        )
        unit.after.append(lambda: self._closing.begin(request.session))
        return session
