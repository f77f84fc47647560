"""Results: created with or without a value, completed later, read."""

from uuid import UUID

from services.scheduler.compute.completion.failures import Failures
from services.scheduler.compute.completion.release import Release
from services.scheduler.compute.lists import lists
from services.scheduler.compute.results import store
from services.scheduler.compute.results.checks import check_object, check_value, is_same
from services.scheduler.compute.results.store import checksum_of, result_of
from services.scheduler.compute.sessions import store as sessions
from services.scheduler.compute.task_events import emit_frame
from services.scheduler.heavy_reads import AT_ONCE, HeavyReads
from services.scheduler.machine import RESULT
from shared.contracts import ids
from shared.contracts.compute import (
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
from shared.contracts.states import ResultStatus
from shared.db.sql import Db, Row
from shared.service.access import check_owner
from shared.service.context import Context
from shared.service.service import Service
from shared.service.unit import Unit


class Results:
    """Answers what users ask about results one by one, and their lists."""

    def __init__(self, db: Db, release: Release, failures: Failures, heavy: HeavyReads) -> None:
        self._db, self._release, self._failures, self._heavy = db, release, failures, heavy

    def register(self, service: Service) -> None:
        """Registers the handlers."""
        service.on(RESULT_CREATE, self.create)
        service.on(RESULT_COMPLETE, self.complete)
        service.on(RESULT_ABORT, self.abort)
        service.on(RESULT_GET, self.get)
        service.on(RESULT_LIST, self.list, at_once=AT_ONCE)
        service.on(RESULT_VALUE, self.value)

    async def create(self, unit: Unit, ctx: Context, request: ResultCreate) -> ResultList:
        """Results that no task produces, with or without a value. All or none; the same request again is harmless."""
        db = unit.connection
        session = await sessions.hold(db, request.session)
        check_owner(ctx, session, request.session)
        sessions.check_open(session, "it takes no new results")
        checksums = []
        for n, new in enumerate(request.results):
            checksums.append(check_value(new.data, new.object, new.sha256, f"results[{n}]."))
            check_object(request.session, new.id, new.object, f"results[{n}].")
        made = [new.id or ids.uuid7() for new in request.results]
        await store.add(db, request.session, made, request.results, checksums)
        rows = await store.find(db, made)
        for n, (name, new) in enumerate(zip(made, request.results, strict=True)):
            if name not in rows or not is_same(rows[name], request.session, new):
                raise AlreadyExists(f"result {name} exists already and is another", field=f"results[{n}].id")
        return ResultList([result_of(rows[name]) for name in made])

    async def complete(self, unit: Unit, ctx: Context, request: ResultComplete) -> Result:
        """The guard CREATED → COMPLETED picks the winner; giving the same value again is harmless."""
        if request.data is None and request.object is None:
            raise Invalid("neither data nor object was given", field="data")
        checksum = check_value(request.data, request.object, request.sha256, "")
        db = unit.connection
        row = await store.get(db, request.result)
        session = await sessions.hold(db, row["session"])
        check_owner(ctx, session, request.result, "result")
        check_object(row["session"], request.result, request.object, "")
        sessions.check_open(session, "its results take no values")
        size = len(request.data) if request.data is not None else request.size
        done = await store.complete(
            db, request.result, size=size, data=request.data, object=request.object, checksum=checksum
        )
        if done is None:
            now = await store.get(db, request.result)
            if now["owner"] is not None:
                raise Conflict(f"result {request.result} is produced by task {now['owner']}")
            same = now["status"] == ResultStatus.COMPLETED and (now["data"], now["object"]) == (
                request.data,
                request.object,
            )
            if not same:
                raise RESULT.refusal("complete", ResultStatus(now["status"]), request.result)
            return result_of(now)
        emit_frame(unit, row["session"], results=[request.result])
        await self._release.results_completed(unit, [request.result])
        return result_of(done)

    async def abort(self, unit: Unit, ctx: Context, request: ResultAbort) -> ResultList:
        """What was to be uploaded, or retrieved, will not come. A result that has ended already stays as it is."""
        db = unit.connection
        check_owner(ctx, await sessions.get(db, request.session), request.session)
        known = await store.find(db, request.results)
        for place, name in enumerate(request.results):
            row = known.get(name)
            if row is None or row["session"] != request.session:
                raise NotFound(f"session {request.session} has no result {name}", field=f"results[{place}]")
            if row["owner"] is not None:
                raise Conflict(f"result {name} is produced by task {row['owner']}", field=f"results[{place}]")
        aborted = await store.abort(db, request.session, request.results)
        if aborted:
            emit_frame(unit, request.session, aborted=aborted)
            await self._failures.results_aborted(unit, aborted, request.reason)
        rows = await store.find(db, request.results)
        return ResultList([result_of(row) for row in rows.values()])

    async def get(self, ctx: Context, request: ResultRef) -> Result:
        """A result without its value."""
        return result_of(await self._seen(ctx, request.result))

    async def value(self, ctx: Context, request: ResultRef) -> Value:
        """A value that lies in the row, or the key of its object. Conflict if there is none."""
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
            checksum_of(row),
        )

    async def list(self, ctx: Context, request: ResultQuery) -> ResultPage:
        """A page of a session's results, or those of some ids."""
        check_owner(ctx, await sessions.get(self._db, request.session), request.session)
        if request.ids is not None:
            rows = await store.find(self._db, request.ids)
            return ResultPage([result_of(row) for row in rows.values() if row["session"] == request.session])
        async with self._heavy.place(ctx) as db:
            return await lists.results(db, request.session, request)

    async def _seen(self, ctx: Context, result: UUID) -> Row:
        row = await store.get(self._db, result)
        check_owner(ctx, await sessions.get(self._db, row["session"]), result, "result")
        return row
