"""Submissions: lines become rows, chunk by chunk; the last chunk makes all of it visible, or none.

A chunk is one transaction. It takes the session's row (shared: it cannot close meanwhile) and the rows of others' results
that it waits for (shared, in the order of ids: who completes them counts down after us or before, never past us).

A short submission that concerns nobody else is one statement, and its tasks are chosen with it if there is room for them and
nobody waits.
"""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from services.scheduler import store
from services.scheduler.compute.completion.release import Release
from services.scheduler.compute.submissions import decide
from services.scheduler.compute.submissions.input_lists import InputLists
from services.scheduler.ports import Dispatch, Partitions
from shared.bus import trace
from shared.contracts import headers as h
from shared.contracts import ids, subjects
from shared.contracts.compute import Options, Submission, SubmissionCreate, SubmissionRef, TaskSpec
from shared.contracts.endpoints.compute import SUBMISSION_CHUNK, SUBMISSION_CREATE, SUBMISSION_GET
from shared.contracts.errors import AlreadyExists, Conflict, HeadraceError, Invalid, NotFound
from shared.contracts.events import SubmissionMade
from shared.contracts.states import ResultStatus, SessionStatus, SubmissionStatus
from shared.service.access import check
from shared.service.context import Context
from shared.service.decode import MALFORMED, check_texts, invalid
from shared.service.service import Service
from shared.service.unit import Unit, Units

Q = store.Q
_lines = msgspec.json.Decoder(TaskSpec).decode_lines
_line = msgspec.json.Decoder(TaskSpec).decode
_options = msgspec.json.Decoder(Options).decode
SHORT = 100
"""Most lines of a submission that is one statement; for more, COPY is cheaper."""
REMEMBERED = 10_000


class Chunk(msgspec.Struct, frozen=True):
    """What the headers of a chunk say; `lists`: the lists of inputs that its lines name."""

    session: UUID
    submission: UUID
    number: int
    first: int
    last: bool
    options: Options | None
    digest: bytes
    lists: decide.Lists


class Listed(msgspec.Struct, frozen=True):
    """A request, and the lists of inputs that its tasks name."""

    request: Any
    lists: decide.Lists


class Submissions:
    def __init__(
        self, units: Units, partitions: Partitions, dispatch: Dispatch, release: Release, lists: InputLists
    ) -> None:
        self._units, self._partitions, self._dispatch = units, partitions, dispatch
        self._release, self._lists = release, lists
        self._sessions: dict[UUID, store.Row] = {}  # for what never changes of one

    def register(self, service: Service) -> None:
        service.on(SUBMISSION_CREATE, self.create, before=self.lists_of_tasks)
        service.on(SUBMISSION_CHUNK, self.chunk, before=self.lists_of_lines)
        service.on(SUBMISSION_GET, self.get)

    async def get(self, ctx: Context, request: SubmissionRef) -> Submission:
        row = await self._units.pool.fetchrow(Q["submission"], request.submission)
        if row is None or (row["parent"] is not None and row["status"] == SubmissionStatus.OPEN):
            raise NotFound(f"there is no submission {request.submission}", field="submission")
        check(ctx, await store.session(self._units.pool, row["session"]), "submission")
        return store.submission_of(row)

    async def lists_of_tasks(self, ctx: Context, request: SubmissionCreate) -> Listed:
        return Listed(request, await self._lists.of_session(request.session, request.tasks))

    async def lists_of_lines(self, ctx: Context, data: bytes) -> Listed:
        if b'"inputs_from"' not in data:
            return Listed(data, {})
        try:
            session, specs = UUID(ctx.headers.get(h.SESSION, "")), _decode(data)
        except (Invalid, ValueError):  # the handler says what is wrong
            return Listed(data, {})
        return Listed(data, await self._lists.of_session(session, specs))

    async def create(self, unit: Unit, ctx: Context, asked: Listed) -> Submission:
        request: SubmissionCreate = asked.request
        submission = request.id or ids.submission_id()
        digest = hashlib.sha256(msgspec.json.encode((request.tasks, request.options))).digest()
        chunk = Chunk(request.session, submission, 0, 0, True, request.options, digest, asked.lists)
        return await self._add(unit, ctx, chunk, len(request.tasks), lambda: request.tasks)

    async def chunk(self, unit: Unit, ctx: Context, asked: Listed) -> Submission:
        data: bytes = asked.request
        chunk = _headers(ctx, data, asked.lists)
        return await self._add(unit, ctx, chunk, data.count(b"\n") + 1, lambda: _decode(data))

    async def _add(
        self, unit: Unit, ctx: Context, chunk: Chunk, lines: int, read: Callable[[], list[TaskSpec]]
    ) -> Submission:
        """`lines`: how many tasks `read` will find, at most."""
        if not ids.is_submission(chunk.submission):
            raise Invalid("not the id of a submission: a UUIDv7 with its low 33 bits clear", field="id")
        try:
            if chunk.last and chunk.number == chunk.first == 0 and lines <= SHORT and not chunk.lists:
                return await self._at_once(unit, ctx, chunk, read)
            return await self._take(unit, ctx, chunk, read)
        except HeadraceError as error:
            if not error.retryable and not isinstance(error, AlreadyExists):
                # What earlier chunks left is refused with it, in a transaction of its own.
                why = error.message
                unit.undone.append(lambda: self._refuse(chunk.submission, ctx, why))
            raise

    async def _at_once(self, unit: Unit, ctx: Context, chunk: Chunk, read: Callable[[], list[TaskSpec]]) -> Submission:
        """Step by step all the same, if there is more to look at than its own lines."""
        session = self._sessions.get(chunk.session)
        if session is None:
            session = await store.session(unit.connection, chunk.session)
            if len(self._sessions) >= REMEMBERED:
                self._sessions.clear()
            self._sessions[chunk.session] = session
        check(ctx, session)
        specs = read()
        plan = await plan_of(self._partitions, chunk, session, specs)
        if not specs or plan.outside or plan.claims:
            return await self._take(unit, ctx, chunk, lambda: specs)
        plan.settle({})
        parent, choose = trace.current.get(), self._dispatch.promise(unit, plan.ready)
        of = dict(zip(decide.TASK_COLUMNS, zip(*plan.tasks, strict=True), strict=True))
        lanes = list(plan.lanes)
        try:
            rows = await unit.connection.fetch(
                Q["submit"], chunk.submission, chunk.session, ctx.user, _text(chunk.options), parent, chunk.digest,
                plan.applications, of["id"], of["deps"], of["partition"], of["priority"], of["max_retries"], of["max_duration"],
                of["function"], of["payload"], of["payload_result"], [_array(found) for found in of["inputs"]],
                [_array(found) for found in of["outputs"]], of["labels"], of["application"],
                [result for result, _ in plan.outputs], [task for _, task in plan.outputs],
                [result for result, _ in plan.edges], [task for _, task in plan.edges],
                [partition for partition, _ in lanes], [priority for _, priority in lanes], list(plan.lanes.values()), choose,
            )  # fmt: skip
        except asyncpg.UniqueViolationError as error:
            raise _not_free(error) from None
        if not rows:
            return await self._take(unit, ctx, chunk, lambda: specs)
        self._dispatch.know(chunk.submission, parent, plan.applications)
        self._release.follow(unit, rows)
        if len(rows) == 1:
            unit.after.append(lambda: self._dispatch.wake(plan.ready))
        return Submission(chunk.submission, chunk.session, "visible", 1, len(specs))

    async def _take(self, unit: Unit, ctx: Context, chunk: Chunk, read: Callable[[], list[TaskSpec]]) -> Submission:
        db = unit.connection
        session = await db.fetchrow(
            Q["open_submission"],
            chunk.submission,
            chunk.session,
            ctx.user,
            _text(chunk.options),
            trace.current.get(),
        )
        if session is None:
            raise NotFound(f"there is no session {chunk.session}", field="session")
        check(ctx, session)
        if not session["opened"]:
            known = await self._known(db, ctx, chunk, session)
            if known is not None:
                return known
        specs = read()
        if not specs:
            raise Invalid("a submission has at least one task", field="tasks")
        if chunk.first + len(specs) > ids.MAX_TASKS:
            raise Invalid(f"a submission has at most {ids.MAX_TASKS} tasks", field="tasks")
        plan = await plan_of(self._partitions, chunk, session, specs)
        found = {}
        if plan.outside:
            rows = await db.fetch(Q["lock_results"], list(plan.outside))
            found = {row["id"]: (row["session"], row["status"]) for row in rows}
        plan.settle(found)
        await self._write(db, chunk, plan)
        if chunk.last:
            await self._show(unit, chunk, plan, alone=session["opened"])
        return Submission(
            chunk.submission,
            chunk.session,
            "visible" if chunk.last else "open",
            chunk.number + 1,
            chunk.first + len(specs),
        )

    async def _known(self, db: Any, ctx: Context, chunk: Chunk, session: store.Row) -> Submission | None:
        """The submission exists: a repeat of this chunk is answered, a new chunk goes on (None)."""
        query = "lock_submission" if chunk.last else "hold_submission"
        row = await db.fetchrow(Q[query], chunk.submission)
        if row is None:  # not opened, and not there: the session's state refused it
            raise _shut(session)
        if row["owner"] != ctx.user or row["session"] != chunk.session or row["parent"] is not None:
            raise AlreadyExists(f"submission {chunk.submission} exists already and is another", field="id")
        if row["status"] == SubmissionStatus.REFUSED:
            raise Conflict(f"submission {chunk.submission} was refused: {row['refusal']}")
        seen = await db.fetchrow(Q["chunk"], chunk.submission, chunk.number)
        if seen is not None:
            if seen["digest"] != chunk.digest:
                raise AlreadyExists(f"chunk {chunk.number} was sent before with other content", field=h.CHUNK)
            return store.submission_of(await db.fetchrow(Q["submission"], chunk.submission))
        if row["status"] == SubmissionStatus.VISIBLE:
            raise Conflict(f"submission {chunk.submission} is complete: it takes no further chunks")
        if not session["client_submission"]:  # it was closed since the first chunk
            raise _shut(session)
        return None

    async def _write(self, db: Any, chunk: Chunk, plan: decide.Plan) -> None:
        await write(db, chunk, plan)
        if plan.claims:
            claimed = await db.fetch(Q["claim_results"], list(plan.claims), list(plan.claims.values()), chunk.session)
            if missing := set(plan.claims) - {row["id"] for row in claimed}:
                result = min(missing)
                line = ids.line_of(plan.claims[result]) - chunk.first
                raise Conflict(
                    f"result {result} cannot be an output: it does not exist here, has a value or another task",
                    field=f"tasks[{line}].outputs",
                )

    async def _show(self, unit: Unit, chunk: Chunk, plan: decide.Plan, *, alone: bool) -> None:
        """Checks what only the whole can show, then makes it visible with one row."""
        db, total = unit.connection, len(plan.tasks)
        cross, outside, claims, applications = marks(plan)
        if alone and (chunk.number or chunk.first):
            raise Conflict("the first chunk of a submission has number 0 and line 0", field=h.CHUNK)
        if not alone:
            sums = await db.fetchrow(Q["chunk_totals"], chunk.submission)
            if sums["chunks"] != chunk.number + 1 or sums["last"] != chunk.number or not sums["contiguous"]:
                raise Conflict(
                    f"{sums['chunks']} of {chunk.number + 1} chunks have arrived, or their lines do not join"
                )
            await db.execute(Q["lock_submission"], chunk.submission)
            total, applications = sums["tasks"], sums["applications"]
            cross, outside, claims = sums["cross_chunk"], sums["outside"], sums["claims"]
        lo, hi = store.span(chunk.submission)
        if cross and (lost := await db.fetchrow(Q["dangling"], lo, hi, store.result_span(chunk.submission)[1])):
            raise Invalid(
                f"line {ids.line_of(lost['task'])} refers to an output that its line does not have",
                field=f"tasks[{ids.line_of(lost['task']) - chunk.first}].inputs",
            )
        if claims:
            await db.execute(Q["lock_graph"], str(chunk.session))
            if origin := await db.fetchval(Q["cycle"], lo, hi):
                raise Conflict(
                    f"line {ids.line_of(origin)} would wait for itself",
                    field=f"tasks[{ids.line_of(origin) - chunk.first}].inputs",
                )
        await db.execute(Q["show_submission"], chunk.submission, total, applications)
        if outside:
            begun = [row["id"] for row in await db.fetch(Q["begin_tasks"], lo, hi) if row["remaining"] == 0]
            if begun:  # counted down before they could be seen
                released = await db.fetch(Q["choose"], begun, *self._dispatch.credits())
                self._release.follow(unit, released)
        if outside and cross:
            await self._release.fail_stranded(unit, chunk.submission)
        unit.emit(
            subjects.event("submission", "visible", chunk.session),
            SubmissionMade(chunk.session, chunk.submission, total),
        )
        unit.after.append(self._dispatch.wake)

    async def _refuse(self, submission: UUID, ctx: Context, why: str) -> None:
        async with self._units.begin() as unit:
            row = await unit.connection.fetchrow(Q["lock_submission"], submission)
            if row is not None and row["owner"] == ctx.user and row["status"] == SubmissionStatus.OPEN:
                await discard(unit.connection, submission, why)


async def plan_of(
    partitions: Partitions, chunk: Chunk, session: store.Row, specs: list[TaskSpec], parent: UUID | None = None
) -> decide.Plan:
    """The rows of a chunk, as far as they follow from its own lines."""
    base = decide.session_defaults(session["partitions"], msgspec.json.decode(session["options"], type=Options))
    allowed = await partitions.numbers_of(session["partitions"])
    defaults = decide.inherit(base, chunk.options)
    plan = decide.Plan(chunk.submission, chunk.session, chunk.first, defaults, allowed, parent, chunk.lists)
    for spec in specs:
        plan.add(spec)
    return plan


async def write(db: Any, chunk: Chunk, plan: decide.Plan) -> None:
    """A chunk's rows, but for what it claims."""
    now = datetime.now(UTC)
    try:
        await db.copy_records_to_table("tasks", records=plan.tasks, columns=decide.TASK_COLUMNS)
    except asyncpg.UniqueViolationError as error:
        raise Conflict(f"another chunk has line {ids.line_of(_taken(error))} already", field=h.FIRST) from None
    if plan.outputs:
        created = int(ResultStatus.CREATED)
        records = [(result, plan.session, False, created, task, now) for result, task in plan.outputs]
        try:
            await db.copy_records_to_table("results", records=records, columns=decide.RESULT_COLUMNS)
        except asyncpg.UniqueViolationError as error:
            raise _not_free(error) from None
    if plan.edges:
        await db.copy_records_to_table("dependencies", records=plan.edges, columns=decide.EDGE_COLUMNS)
    facts = (chunk.submission, chunk.number, chunk.first, len(plan.tasks), chunk.digest)
    await db.execute(Q["add_chunk"], *facts, *marks(plan))
    if plan.lanes:
        keys = list(plan.lanes)
        await db.execute(
            Q["add_lanes"], chunk.submission, chunk.session,
            [partition for partition, _ in keys], [priority for _, priority in keys], list(plan.lanes.values()), plan.functions,
        )  # fmt: skip


async def discard(db: Any, submission: UUID, why: str) -> None:
    """Takes back what the chunks of an incomplete submission left; its row stays and says why."""
    await db.execute(Q["release_claims"], *store.span(submission))
    await drop_rows(db, submission)
    await db.execute(Q["drop_chunks"], submission)
    await db.execute(Q["drop_submission_lanes"], submission)
    await db.execute(Q["refuse_submission"], submission, why[:500])


def marks(plan: decide.Plan) -> tuple[bool, bool, bool, bool]:
    """What the last chunk has to know of all: cross_chunk, outside, claims, applications.

    Written to the chunk's row: the submission's is held by all chunks under way, and none could get it for itself.
    """
    return plan.cross_chunk, plan.has_outside, bool(plan.claims), plan.applications


async def drop_rows(db: Any, submission: UUID) -> None:
    """Removes the tasks of an incomplete submission, with their results and edges."""
    lo, hi = store.span(submission)
    await db.execute(Q["drop_dependencies"], lo, hi)
    await db.execute(Q["drop_tasks"], lo, hi)
    await db.execute(Q["drop_results"], *store.result_span(submission))


def _text(options: Options | None) -> str:
    return msgspec.json.encode(options or Options()).decode()


def _array(found: list[UUID] | None) -> str | None:
    """As PostgreSQL writes it."""
    return None if found is None else f"{{{','.join(map(str, found))}}}"


def _not_free(error: asyncpg.UniqueViolationError) -> AlreadyExists:
    return AlreadyExists(
        f"result {_taken(error)} exists already: the submission's id does not leave it free", field="id"
    )


def _taken(error: asyncpg.UniqueViolationError) -> UUID:
    """The id that PostgreSQL found to be there: `Key (id)=(…) already exists.`"""
    return UUID((error.detail or "").partition("=(")[2].partition(")")[0])


def _shut(session: store.Row) -> Conflict:
    state = SessionStatus(session["status"])
    if state in (SessionStatus.RUNNING, SessionStatus.PAUSED):
        return Conflict(f"session {session['id']} takes no submissions any more: that was stopped")
    return Conflict(f"session {session['id']} is {state.name} and takes no submissions")


def _headers(ctx: Context, data: bytes, lists: decide.Lists) -> Chunk:
    def read(name: str, kind: Callable[[str], Any]) -> Any:
        text = ctx.headers.get(name, "")
        try:
            return kind(text)
        except (ValueError, msgspec.MsgspecError):
            raise Invalid(f"missing or malformed: {text!r}", field=name) from None

    raw = ctx.headers.get(h.OPTIONS)
    try:
        options = None if raw is None else _options(raw)
    except MALFORMED as error:
        raise Invalid(invalid(error).message, field=h.OPTIONS) from None
    check_texts(options, (raw or "").encode(), h.OPTIONS)
    number, first = read(h.CHUNK, int), read(h.FIRST, int)
    for name, place in ((h.CHUNK, number), (h.FIRST, first)):
        if not 0 <= place < ids.MAX_TASKS:
            raise Invalid(f"chunks and lines are counted from 0 to {ids.MAX_TASKS - 1}", field=name)
    return Chunk(
        read(h.SESSION, UUID),
        read(h.SUBMISSION, UUID),
        number,
        first,
        ctx.headers.get(h.LAST) == "1",
        options,
        hashlib.sha256(data).digest(),
        lists,
    )


def _decode(data: bytes) -> list[TaskSpec]:
    specs = _decode_lines(data)
    check_texts(specs, data, "tasks")
    return specs


def _decode_lines(data: bytes) -> list[TaskSpec]:
    try:
        return _lines(data)
    except msgspec.ValidationError as error:
        told = invalid(error)
        raise Invalid(told.message, field=f"tasks{told.field}") from None
    except MALFORMED as whole:
        for number, line in enumerate(data.split(b"\n")):
            try:
                _line(line)
            except MALFORMED as error:
                raise Invalid(f"not JSON: {invalid(error).message}", field=f"tasks[{number}]") from None
        raise Invalid(f"not JSON: {invalid(whole).message}", field="tasks") from None
