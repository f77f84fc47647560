"""Subtasks: what a running task hands over while nobody can see it yet.

It becomes an OPEN submission with a parent, part by part, each a transaction; the last part checks the whole and seals it.
`complete_parent_v1` makes it real with the parent's completion; what never gets there the sweep takes away.
"""

import hashlib
from typing import Any, Literal
from uuid import UUID

import msgspec

from services.scheduler import store
from services.scheduler.compute.submissions import decide
from services.scheduler.compute.submissions.handlers import Chunk, Listed, marks, plan_of, write
from services.scheduler.compute.submissions.input_lists import InputLists
from services.scheduler.ports import Partitions
from shared.bus import trace
from shared.contracts import ids
from shared.contracts.endpoints.work import TASK_SPAWN
from shared.contracts.errors import AlreadyExists, Conflict, Invalid, NotFound
from shared.contracts.states import ResultStatus, SessionStatus, SubmissionStatus
from shared.contracts.topology import INLINE_LIMIT
from shared.contracts.work import Spawn, Spawned
from shared.service.context import Context
from shared.service.service import Service
from shared.service.unit import Unit

Q = store.Q


class Subtasks:
    def __init__(self, partitions: Partitions, lists: InputLists) -> None:
        self._partitions, self._lists = partitions, lists

    def register(self, service: Service) -> None:
        service.on(TASK_SPAWN, self.spawn, before=self.lists_of)

    async def lists_of(self, ctx: Context, request: Spawn) -> Listed:
        return Listed(request, await self._lists.of_parent(request))

    async def spawn(self, unit: Unit, ctx: Context, asked: Listed) -> Spawned:
        request: Spawn = asked.request
        if not ids.is_submission(request.submission):
            raise Invalid("not the id of a submission: a UUIDv7 with its low 33 bits clear", field="submission")
        if request.first + len(request.tasks) > ids.MAX_TASKS:
            raise Invalid(f"a task submits at most {ids.MAX_TASKS} tasks", field="tasks")
        db = unit.connection
        parent = await db.fetchrow(Q["hold_parent"], request.task, request.attempt)
        if parent is None:
            raise Conflict(f"task {ids.attempt_name(request.task, request.attempt)} cannot complete any more")
        check_open(parent)
        chunk = Chunk(
            parent["id"],
            request.submission,
            request.number,
            request.first,
            request.last,
            None,
            hashlib.sha256(msgspec.json.encode(request)).digest(),
            asked.lists,
        )
        state = await _open(db, request, parent, chunk.digest)
        if state != "seen":
            plan = await plan_of(self._partitions, chunk, parent, request.tasks, request.task)
            await _promise(db, request)
            plan.settle(await _known(db, plan, parent))
            await write(db, chunk, plan)
            await _claim(db, plan, parent["outputs"])
            if request.last:
                await _seal(db, chunk, plan, alone=state == "first")
        return Spawned(request.number + 1, request.first + len(request.tasks))


def check_open(session: store.Row) -> None:
    """Conflict, if the session's tasks may submit none."""
    state = SessionStatus(session["status"])
    if state not in (SessionStatus.RUNNING, SessionStatus.PAUSED):
        raise Conflict(f"session {session['id']} is {state.name}: it takes no tasks or results from its tasks")
    if not session["worker_submission"]:
        raise Conflict(f"session {session['id']} takes no tasks or results from its tasks any more")


async def _open(db: Any, request: Spawn, parent: store.Row, digest: bytes) -> Literal["first", "another", "seen"]:
    """What this part is: the first of its submission, another one, or one that was taken before."""
    owner, now = parent["owner"], trace.current.get()
    opened = await db.fetchval(
        Q["open_children"], request.submission, parent["id"], owner, now, request.task, request.attempt
    )
    if opened is not None:
        return "first"
    row = await db.fetchrow(Q["lock_submission"], request.submission)
    if row is None:
        raise Conflict(f"submission {request.submission} was taken back: its task has ended")
    if (row["parent"], row["parent_attempt"]) != (request.task, request.attempt):
        raise AlreadyExists(f"submission {request.submission} exists already and is another", field="submission")
    seen = await db.fetchrow(Q["chunk"], request.submission, request.number)
    if seen is not None:
        if seen["digest"] != digest:
            raise AlreadyExists(f"part {request.number} was sent before with other content", field="number")
        return "seen"
    if row["sealed"] or row["status"] != SubmissionStatus.OPEN:
        raise Conflict(f"submission {request.submission} is complete: it takes no further parts")
    return "another"


async def _promise(db: Any, request: Spawn) -> None:
    """Notes the results that the parent has created."""
    if not request.results:
        return
    for n, new in enumerate(request.results):
        if new.id is None:
            raise Invalid("a result that a task creates has an id", field=f"results[{n}].id")
        if new.data is not None and (new.object is not None or len(new.data) > INLINE_LIMIT):
            raise Invalid(f"either data of at most {INLINE_LIMIT} bytes, or an object", field=f"results[{n}].data")
    made = await db.fetch(
        Q["promise_results"],
        request.submission,
        [new.id for new in request.results],
        [new.name for new in request.results],
        [len(new.data) if new.data is not None else new.size for new in request.results],
        [new.data for new in request.results],
        [new.object for new in request.results],
        [bytes.fromhex(new.sha256) if new.sha256 else None for new in request.results],
    )
    if len(made) < len(request.results):
        free = {row["id"] for row in made}
        n = next((n for n, new in enumerate(request.results) if new.id not in free), 0)
        raise AlreadyExists(f"result {request.results[n].id} is created twice", field=f"results[{n}].id")


async def _known(db: Any, plan: decide.Plan, parent: store.Row) -> dict[UUID, tuple[UUID, int]]:
    """What the tasks may need of what is not theirs, and the results that they are to produce: session and state of each."""
    session, named = parent["id"], [*plan.outside, *plan.claims]
    if not named:
        return {}
    found: dict[UUID, tuple[UUID, int]] = dict.fromkeys(parent["outputs"], (session, ResultStatus.CREATED))
    for row in await db.fetch(Q["promised"], plan.submission, named):
        found[row["id"]] = (session, ResultStatus.COMPLETED if row["complete"] else ResultStatus.CREATED)
    for result, task in plan.claims.items():
        if result not in found:
            why = f"result {result} is neither an expected output of the task that submits, nor created by it"
            raise NotFound(why, field=f"tasks[{ids.line_of(task) - plan.first}].outputs")
    own = {*(parent["inputs"] or ()), parent["payload_result"]} & plan.outside.keys()
    for row in await db.fetch(Q["lock_results"], list(own)) if own else ():
        found[row["id"]] = (row["session"], row["status"])
    for result, field in plan.outside.items():
        if result not in found:
            why = f"result {result} is neither an input or expected output of the task that submits, nor created by it"
            raise NotFound(why, field=field)
    return found


async def _claim(db: Any, plan: decide.Plan, expected: list[UUID]) -> None:
    """Each result has one producer."""
    if not plan.claims:
        return
    claims = plan.claims
    rows = await db.fetch(Q["promise_outputs"], plan.submission, list(claims), list(claims.values()), expected)
    if taken := claims.keys() - {row["id"] for row in rows}:
        result = min(taken, key=lambda one: claims[one])
        raise Conflict(
            f"result {result} has a value, or is the output of another subtask",
            field=f"tasks[{ids.line_of(claims[result]) - plan.first}].outputs",
        )


async def _seal(db: Any, chunk: Chunk, plan: decide.Plan, *, alone: bool) -> None:
    """Checks what only the whole can show. `alone`: no other part has come."""
    total, (cross, outside, claims, applications) = len(plan.tasks), marks(plan)
    if alone and (chunk.number or chunk.first):
        raise Conflict("the first part of a submission has number 0 and line 0", field="number")
    if not alone:
        sums = await db.fetchrow(Q["chunk_totals"], chunk.submission)
        if sums["chunks"] != chunk.number + 1 or sums["last"] != chunk.number or not sums["contiguous"]:
            raise Conflict(f"{sums['chunks']} of {chunk.number + 1} parts have arrived, or their lines do not join")
        total, applications = sums["tasks"], sums["applications"]
        cross, outside, claims = sums["cross_chunk"], sums["outside"], sums["claims"]
    lo, hi = store.span(chunk.submission)
    if cross and (lost := await db.fetchrow(Q["dangling"], lo, hi, store.result_span(chunk.submission)[1])):
        line = ids.line_of(lost["task"])
        raise Invalid(
            f"line {line} refers to an output that its line does not have", field=f"tasks[{line - chunk.first}].inputs"
        )
    if claims and (found := await db.fetchrow(Q["backward"], chunk.submission, lo)):
        line, later = ids.line_of(found["task"]), ids.line_of(found["owner"])
        whose = "itself" if line == later else f"line {later}, a later one"
        raise Conflict(
            f"line {line} needs result {found['id']}, which is produced by {whose}",
            field=f"tasks[{line - chunk.first}].inputs",
        )
    await db.execute(Q["seal_children"], chunk.submission, total, outside, applications)
