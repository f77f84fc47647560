"""Submissions: lines become rows, chunk by chunk; the last chunk makes all of it visible, or none.

A chunk is one transaction. It takes the session's row (shared: it cannot close meanwhile) and the rows of others' results
that it waits for (shared, in the order of ids: who completes them counts down after us or before, never past us).

A short submission that concerns nobody else is one statement, and its tasks are chosen with it if there is room for them and
nobody waits.
"""

import hashlib
from collections.abc import Callable
from uuid import UUID

import msgspec

from services.scheduler.compute.completion.failures import Failures
from services.scheduler.compute.completion.release import Release
from services.scheduler.compute.sessions import store as sessions
from services.scheduler.compute.submissions import rows, store, whole
from services.scheduler.compute.submissions.chunk import Chunk, WithLists, chunk_of, decode_tasks
from services.scheduler.compute.submissions.input_lists import InputLists
from services.scheduler.compute.submissions.plan import Plan
from services.scheduler.compute.submissions.planning import plan_of
from services.scheduler.ports import Dispatch, Partitions
from shared.bus import trace
from shared.contracts import headers as h
from shared.contracts import ids, subjects
from shared.contracts.compute import Submission, SubmissionCreate, SubmissionRef, TaskSpec
from shared.contracts.endpoints.compute import SUBMISSION_CHUNK, SUBMISSION_CREATE, SUBMISSION_GET
from shared.contracts.errors import AlreadyExists, Conflict, HeadraceError, Invalid, NotFound
from shared.contracts.events import SubmissionMade
from shared.contracts.states import SessionStatus, SubmissionStatus
from shared.db.sql import Db, Row
from shared.service.access import check_owner
from shared.service.context import Context
from shared.service.service import Service
from shared.service.unit import Unit, Units

SHORT = 100
"""Most lines of a submission that is one statement; for more, COPY is cheaper."""
REMEMBERED = 10_000
"""Sessions of which is remembered what never changes."""


class Submissions:
    """Answers what users submit."""

    def __init__(
        self,
        units: Units,
        partitions: Partitions,
        dispatch: Dispatch,
        release: Release,
        failures: Failures,
        lists: InputLists,
    ) -> None:
        self._units, self._partitions, self._dispatch = units, partitions, dispatch
        self._release, self._failures, self._lists = release, failures, lists
        self._sessions: dict[UUID, Row] = {}

    def register(self, service: Service) -> None:
        """Registers the handlers."""
        service.on(SUBMISSION_CREATE, self.create, before=self.lists_of_tasks)
        service.on(SUBMISSION_CHUNK, self.chunk, before=self.lists_of_lines)
        service.on(SUBMISSION_GET, self.get)

    async def get(self, ctx: Context, request: SubmissionRef) -> Submission:
        """How far a submission is."""
        row = await store.find(self._units.pool, request.submission)
        if row is None or (row["parent"] is not None and row["status"] == SubmissionStatus.OPEN):
            raise NotFound(f"there is no submission {request.submission}", field="submission")
        check_owner(ctx, await sessions.get(self._units.pool, row["session"]), request.submission, "submission")
        return store.submission_of(row)

    async def lists_of_tasks(self, ctx: Context, request: SubmissionCreate) -> WithLists:
        """Reads the lists of inputs that a request names, before `create`."""
        return WithLists(request, await self._lists.of_session(request.session, request.tasks))

    async def lists_of_lines(self, ctx: Context, data: bytes) -> WithLists:
        """Reads the lists of inputs that a chunk names, before `chunk`."""
        if b'"inputs_from"' not in data:
            return WithLists(data, {})
        try:
            session, specs = UUID(ctx.headers.get(h.SESSION, "")), decode_tasks(data)
        except (Invalid, ValueError):  # the handler says what is wrong
            return WithLists(data, {})
        return WithLists(data, await self._lists.of_session(session, specs))

    async def create(self, unit: Unit, ctx: Context, asked: WithLists) -> Submission:
        """A whole submission in one request."""
        request: SubmissionCreate = asked.request
        submission = request.id or ids.submission_id()
        digest = hashlib.sha256(msgspec.json.encode((request.tasks, request.options))).digest()
        chunk = Chunk(request.session, submission, 0, 0, True, request.options, digest, asked.lists)
        return await self._add(unit, ctx, chunk, len(request.tasks), lambda: request.tasks)

    async def chunk(self, unit: Unit, ctx: Context, asked: WithLists) -> Submission:
        """One chunk of a submission; the last one makes it visible. The same chunk again is harmless."""
        data: bytes = asked.request
        chunk = chunk_of(ctx, data, asked.lists)
        return await self._add(unit, ctx, chunk, data.count(b"\n") + 1, lambda: decode_tasks(data))

    async def _add(
        self, unit: Unit, ctx: Context, chunk: Chunk, lines: int, read: Callable[[], list[TaskSpec]]
    ) -> Submission:
        """`lines`: how many tasks `read` will find, at most."""
        if not ids.is_submission(chunk.submission):
            raise Invalid("not the id of a submission: a UUIDv7 with its low 33 bits clear", field="id")
        try:
            if chunk.last and chunk.number == chunk.first == 0 and lines <= SHORT and not chunk.lists:
                return await self._submit_short(unit, ctx, chunk, read)
            return await self._take(unit, ctx, chunk, read)
        except HeadraceError as error:
            if not error.retryable and not isinstance(error, AlreadyExists):
                # What earlier chunks left is refused with it, in a transaction of its own.
                why = error.message
                unit.undone.append(lambda: self._refuse(chunk.submission, ctx, why))
            raise

    async def _submit_short(
        self, unit: Unit, ctx: Context, chunk: Chunk, read: Callable[[], list[TaskSpec]]
    ) -> Submission:
        """Step by step all the same, if there is more to look at than its own lines."""
        session = await self._session(unit.connection, chunk.session)
        check_owner(ctx, session, chunk.session)
        specs = read()
        plan = await plan_of(self._partitions, chunk, session, specs)
        if not specs or plan.outside or plan.claims:
            return await self._take(unit, ctx, chunk, lambda: specs)
        plan.link({})
        choose = self._dispatch.hold_credit(unit, plan.ready)
        released = await rows.submit(unit.connection, ctx.user, chunk, plan, choose=choose)
        if not released:
            return await self._take(unit, ctx, chunk, lambda: specs)
        self._dispatch.remember(chunk.submission, trace.current.get(), plan.applications)
        self._release.follow(unit, released)
        if len(released) == 1:
            unit.after.append(lambda: self._dispatch.wake(plan.ready))
        return Submission(chunk.submission, chunk.session, "visible", 1, len(specs))

    async def _session(self, db: Db, session: UUID) -> Row:
        """A session's row, for what never changes of it."""
        row = self._sessions.get(session)
        if row is None:
            row = await sessions.get(db, session)
            if len(self._sessions) >= REMEMBERED:
                self._sessions.clear()
            self._sessions[session] = row
        return row

    async def _take(self, unit: Unit, ctx: Context, chunk: Chunk, read: Callable[[], list[TaskSpec]]) -> Submission:
        db = unit.connection
        session = await store.open(db, ctx.user, chunk)
        if session is None:
            raise NotFound(f"there is no session {chunk.session}", field="session")
        check_owner(ctx, session, chunk.session)
        if not session["opened"]:
            known = await _known(db, ctx, chunk, session)
            if known is not None:
                return known
        specs = read()
        if not specs:
            raise Invalid("a submission has at least one task", field="tasks")
        if chunk.first + len(specs) > ids.MAX_TASKS:
            raise Invalid(f"a submission has at most {ids.MAX_TASKS} tasks", field="tasks")
        plan = await plan_of(self._partitions, chunk, session, specs)
        plan.link(await rows.hold_results(db, plan.outside) if plan.outside else {})
        await rows.write(db, chunk, plan)
        await _claim(db, chunk, plan)
        if chunk.last:
            await self._show(unit, chunk, plan, alone=session["opened"])
        state = "visible" if chunk.last else "open"
        return Submission(chunk.submission, chunk.session, state, chunk.number + 1, chunk.first + len(specs))

    async def _show(self, unit: Unit, chunk: Chunk, plan: Plan, *, alone: bool) -> None:
        """Checks what only the whole can show, then makes it visible with one row. `alone`: it is the only chunk."""
        db = unit.connection
        total, marks = await whole.totals(db, chunk, plan, alone=alone, part="chunk")
        if not alone:
            await store.lock(db, chunk.submission)
        if marks.cross_chunk:
            await whole.check_references(db, chunk)
        if marks.claims:
            await whole.check_cycles(db, chunk)
        await store.show(db, chunk.submission, total, applications=marks.applications)
        if marks.outside:
            ready = await whole.begin_tasks(db, chunk.submission)
            if ready:  # counted down before they could be seen
                await self._release.tasks_ready(unit, ready)
            if marks.cross_chunk:
                await self._failures.fail_stranded(unit, chunk.submission)
        made = SubmissionMade(chunk.session, chunk.submission, total)
        unit.emit(subjects.event("submission", "visible", chunk.session), made)
        unit.after.append(self._dispatch.wake)

    async def _refuse(self, submission: UUID, ctx: Context, why: str) -> None:
        async with self._units.begin() as unit:
            row = await store.lock(unit.connection, submission)
            if row is not None and row["owner"] == ctx.user and row["status"] == SubmissionStatus.OPEN:
                await rows.discard(unit.connection, submission, why)


async def _known(db: Db, ctx: Context, chunk: Chunk, session: Row) -> Submission | None:
    """The submission exists: a repeat of this chunk is answered, a new chunk goes on (None)."""
    row = await (store.lock if chunk.last else store.hold)(db, chunk.submission)
    if row is None:  # not opened, and not there: the session's state refused it
        raise _closed(session)
    if row["owner"] != ctx.user or row["session"] != chunk.session or row["parent"] is not None:
        raise AlreadyExists(f"submission {chunk.submission} exists already and is another", field="id")
    if row["status"] == SubmissionStatus.REFUSED:
        raise Conflict(f"submission {chunk.submission} was refused: {row['refusal']}")
    seen = await store.find_chunk(db, chunk.submission, chunk.number)
    if seen is not None:
        if seen["digest"] != chunk.digest:
            raise AlreadyExists(f"chunk {chunk.number} was sent before with other content", field=h.CHUNK)
        return store.submission_of(await store.find(db, chunk.submission))
    if row["status"] == SubmissionStatus.VISIBLE:
        raise Conflict(f"submission {chunk.submission} is complete: it takes no further chunks")
    if not session["client_submission"]:  # it was closed since the first chunk
        raise _closed(session)
    return None


async def _claim(db: Db, chunk: Chunk, plan: Plan) -> None:
    if not plan.claims:
        return
    if missing := plan.claims.keys() - await rows.claim_results(db, chunk.session, plan.claims):
        result = min(missing)
        line = ids.line_of(plan.claims[result]) - chunk.first
        raise Conflict(
            f"result {result} cannot be an output: it does not exist here, has a value or another task",
            field=f"tasks[{line}].outputs",
        )


def _closed(session: Row) -> Conflict:
    state = SessionStatus(session["status"])
    if state in (SessionStatus.RUNNING, SessionStatus.PAUSED):
        return Conflict(f"session {session['id']} takes no submissions any more: that was stopped")
    return Conflict(f"session {session['id']} is {state.name} and takes no submissions")
