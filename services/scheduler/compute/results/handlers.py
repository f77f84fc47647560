"""Results: created with or without a value, completed later, read."""

import hashlib
from uuid import UUID

from services.scheduler import store
from services.scheduler.compute.completion.release import Release
from services.scheduler.compute.lists import lists
from services.scheduler.heavy_reads import AT_ONCE, HeavyReads
from services.scheduler.machine import RESULT
from shared.contracts import ids, subjects
from shared.contracts.compute import (
    NewResult,
    Result,
    ResultAbort,
    ResultComplete,
    ResultCreate,
    ResultList,
    ResultPage,
    ResultQuery,
    ResultRef,
    Value,
)
from shared.contracts.endpoints.compute import (
    RESULT_ABORT,
    RESULT_COMPLETE,
    RESULT_CREATE,
    RESULT_GET,
    RESULT_LIST,
    RESULT_VALUE,
)
from shared.contracts.errors import AlreadyExists, Conflict, Invalid, NotFound
from shared.contracts.events import Frame
from shared.contracts.states import ResultStatus, SessionStatus
from shared.contracts.topology import INLINE_LIMIT
from shared.objects.layout import check_key, result_prefix
from shared.service.access import check
from shared.service.context import Context
from shared.service.service import Service
from shared.service.unit import Unit

Q = store.Q


def _check_value(data: bytes | None, key: str | None, sha256: str | None, field: str) -> bytes | None:
    """The value's checksum, if it is known or lies here."""
    if data is not None and key is not None:
        raise Invalid("either data or object, not both", field=f"{field}object")
    if data is not None and len(data) > INLINE_LIMIT:
        raise Invalid(f"inline values may have {INLINE_LIMIT} bytes; store an object", field=f"{field}data")
    if data is not None:
        found = hashlib.sha256(data).digest()
        if sha256 is not None and sha256 != found.hex():
            raise Invalid(f"the data hash to {found.hex()}, not to {sha256}", field=f"{field}sha256")
        return found
    if sha256 is not None and key is None:
        raise Invalid("there is no value that it could be of", field=f"{field}sha256")
    return None if sha256 is None else bytes.fromhex(sha256)


def _check_object(session: UUID, result: UUID | None, key: str | None, field: str) -> None:
    """A key that belongs to this very result: whoever could name another's would read its value."""
    if key is None:
        return
    if result is None:
        raise Invalid("an object needs the result's own id, under which its key lies", field=f"{field}object")
    prefix = result_prefix(session, result)
    if not key.startswith(prefix):
        raise Invalid(f"an object of this result begins with {prefix}", field=f"{field}object")
    try:
        check_key(key)
    except Invalid as error:
        raise Invalid(error.message, field=f"{field}object") from None


def _same(row: store.Row, session: UUID, new: NewResult) -> bool:
    """Whether a result is what was asked for. One that was to be created empty may have got its value since."""
    if row["session"] != session or row["name"] != new.name or not row["standalone"]:
        return False
    empty = new.data is None and new.object is None
    return empty or (row["data"], row["object"]) == (new.data, new.object)


class Results:
    def __init__(self, db: store.Db, release: Release, heavy: HeavyReads) -> None:
        self._db, self._release, self._heavy = db, release, heavy

    def register(self, service: Service) -> None:
        service.on(RESULT_CREATE, self.create)
        service.on(RESULT_COMPLETE, self.complete)
        service.on(RESULT_ABORT, self.abort)
        service.on(RESULT_GET, self.get)
        service.on(RESULT_LIST, self.list, at_once=AT_ONCE)
        service.on(RESULT_VALUE, self.value)

    async def create(self, unit: Unit, ctx: Context, request: ResultCreate) -> ResultList:
        db = unit.connection
        session = await store.session(db, request.session, "hold_session")
        check(ctx, session)
        state = SessionStatus(session["status"])
        if state not in (SessionStatus.RUNNING, SessionStatus.PAUSED):
            raise Conflict(f"session {request.session} is {state.name}: it takes no new results")
        checksums = []
        for n, new in enumerate(request.results):
            checksums.append(_check_value(new.data, new.object, new.sha256, f"results[{n}]."))
            _check_object(request.session, new.id, new.object, f"results[{n}].")
        made = [new.id or ids.uuid7() for new in request.results]
        await db.execute(
            Q["add_results"],
            request.session,
            made,
            [new.name for new in request.results],
            [new.data is not None or new.object is not None for new in request.results],
            [len(new.data) if new.data is not None else new.size for new in request.results],
            [new.data for new in request.results],
            [new.object for new in request.results],
            checksums,
        )
        rows = {row["id"]: row for row in await db.fetch(Q["results"], made)}
        for n, (name, new) in enumerate(zip(made, request.results, strict=True)):
            if name not in rows or not _same(rows[name], request.session, new):
                raise AlreadyExists(f"result {name} exists already and is another", field=f"results[{n}].id")
        return ResultList([store.result_of(rows[name]) for name in made])

    async def complete(self, unit: Unit, ctx: Context, request: ResultComplete) -> Result:
        """The guard CREATED → COMPLETED picks the winner; giving the same value again is harmless."""
        if request.data is None and request.object is None:
            raise Invalid("neither data nor object was given", field="data")
        checksum = _check_value(request.data, request.object, request.sha256, "")
        db = unit.connection
        row = await store.result(db, request.result)
        session = await store.session(db, row["session"], "hold_session")
        check(ctx, session, "result")
        _check_object(row["session"], request.result, request.object, "")
        if session["status"] not in (SessionStatus.RUNNING, SessionStatus.PAUSED):
            state = SessionStatus(session["status"])
            raise Conflict(f"session {session['id']} is {state.name}: its results take no values")
        size = len(request.data) if request.data is not None else request.size
        done = await db.fetchrow(Q["complete_result"], request.result, size, request.data, request.object, checksum)
        if done is None:
            now = await store.result(db, request.result)
            if now["owner"] is not None:
                raise Conflict(f"result {request.result} is produced by task {now['owner']}")
            same = now["status"] == ResultStatus.COMPLETED and (now["data"], now["object"]) == (
                request.data,
                request.object,
            )
            if not same:
                raise RESULT.refusal("complete", ResultStatus(now["status"]), request.result)
            return store.result_of(now)
        unit.emit(subjects.event("task", "changed", row["session"]), Frame(row["session"], results=[request.result]))
        released = await self._release.count_down(db, [request.result])
        self._release.follow(unit, released)
        return store.result_of(done)

    async def abort(self, unit: Unit, ctx: Context, request: ResultAbort) -> ResultList:
        """What was to be uploaded, or retrieved, will not come. A result that has ended already stays as it is."""
        db = unit.connection
        check(ctx, await store.session(db, request.session))
        known = {row["id"]: row for row in await db.fetch(Q["results"], request.results)}
        for place, name in enumerate(request.results):
            row = known.get(name)
            if row is None or row["session"] != request.session:
                raise NotFound(f"session {request.session} has no result {name}", field=f"results[{place}]")
            if row["owner"] is not None:
                raise Conflict(f"result {name} is produced by task {row['owner']}", field=f"results[{place}]")
        aborted = [row["id"] for row in await db.fetch(Q["abort_results"], request.results, request.session)]
        if aborted:
            frame = Frame(request.session, aborted=aborted)
            unit.emit(subjects.event("task", "changed", request.session), frame)
            await self._release.abort(unit, aborted, request.reason)
        rows = await db.fetch(Q["results"], request.results)
        return ResultList([store.result_of(row) for row in rows])

    async def get(self, ctx: Context, request: ResultRef) -> Result:
        return store.result_of(await self._seen(ctx, request.result))

    async def value(self, ctx: Context, request: ResultRef) -> Value:
        row = await self._seen(ctx, request.result)
        if row["status"] != ResultStatus.COMPLETED:
            state = ResultStatus(row["status"]).name
            raise Conflict(f"result {request.result} is {state}: only a COMPLETED one has a value", field="result")
        data = row["data"] if row["object"] is None else None
        return Value(
            row["id"],
            row["size"],
            b"" if data is None and row["object"] is None else data,
            row["object"],
            store.checksum_of(row),
        )

    async def list(self, ctx: Context, request: ResultQuery) -> ResultPage:
        check(ctx, await store.session(self._db, request.session))
        if request.ids is not None:
            rows = await self._db.fetch(Q["results"], request.ids)
            return ResultPage([store.result_of(row) for row in rows if row["session"] == request.session])
        async with self._heavy.place(ctx) as db:
            return await lists.results(db, request.session, request)

    async def _seen(self, ctx: Context, result: UUID) -> store.Row:
        row = await store.result(self._db, result)
        check(ctx, await store.session(self._db, row["session"]), "result")
        return row
