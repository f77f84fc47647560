"""Subtasks: what a running task hands over while nobody can see it yet.

It becomes an OPEN submission with a parent, part by part, each a transaction; the last part checks the whole and seals it.
`complete_parent_v1` makes it real with the parent's completion; what never gets there the sweep takes away.
"""

import hashlib
from typing import Literal
from uuid import UUID

import msgspec

from services.scheduler.compute.sessions import store as sessions
from services.scheduler.compute.submissions import rows, whole
from services.scheduler.compute.submissions import store as submissions
from services.scheduler.compute.submissions.chunk import Chunk, WithLists
from services.scheduler.compute.submissions.input_lists import InputLists
from services.scheduler.compute.submissions.plan import Plan
from services.scheduler.compute.submissions.planning import plan_of
from services.scheduler.compute.subtasks import store
from services.scheduler.ports import Partitions
from shared.contracts import ids
from shared.contracts.endpoints.work import TASK_SPAWN
from shared.contracts.errors import AlreadyExists, Conflict, Invalid, NotFound
from shared.contracts.states import ResultStatus, SubmissionStatus
from shared.contracts.topology import INLINE_LIMIT
from shared.contracts.work import Spawn, Spawned
from shared.db.sql import Db, Row
from shared.service.context import Context
from shared.service.service import Service
from shared.service.unit import Unit


class Subtasks:
    """Answers `task.spawn`, which workers ask."""

    def __init__(self, partitions: Partitions, lists: InputLists) -> None:
        self._partitions, self._lists = partitions, lists

    def register(self, service: Service) -> None:
        """Registers the handlers."""
        service.on(TASK_SPAWN, self.spawn, before=self.lists_of)

    async def lists_of(self, ctx: Context, request: Spawn) -> WithLists:
        """Reads the lists of inputs that a part names, before `spawn`."""
        return WithLists(request, await self._lists.of_parent(request))

    async def spawn(self, unit: Unit, ctx: Context, asked: WithLists) -> Spawned:
        """One part of what a running task submits. The same part again is harmless."""
        request: Spawn = asked.request
        if not ids.is_submission(request.submission):
            raise Invalid("not the id of a submission: a UUIDv7 with its low 33 bits clear", field="submission")
        if request.first + len(request.tasks) > ids.MAX_TASKS:
            raise Invalid(f"a task submits at most {ids.MAX_TASKS} tasks", field="tasks")
        db = unit.connection
        parent = await store.hold_parent(db, request.task, request.attempt, ctx.site)
        if parent is None:
            raise Conflict(f"task {ids.attempt_name(request.task, request.attempt)} cannot complete any more")
        _check_open(parent)
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
            plan.link(await _known(db, plan, parent))
            await rows.write(db, chunk, plan)
            await _claim(db, plan, parent["outputs"])
            if request.last:
                await _seal(db, chunk, plan, alone=state == "first")
        return Spawned(request.number + 1, request.first + len(request.tasks))


def _check_open(session: Row) -> None:
    """Conflict, if the session's tasks may submit none."""
    sessions.check_open(session, "it takes no tasks or results from its tasks")
    if not session["worker_submission"]:
        raise Conflict(f"session {session['id']} takes no tasks or results from its tasks any more")


async def _open(db: Db, request: Spawn, parent: Row, digest: bytes) -> Literal["first", "another", "seen"]:
    """What this part is: the first of its submission, another one, or one that was taken before."""
    if await store.open(db, request, parent):
        return "first"
    row = await submissions.lock(db, request.submission)
    if row is None:
        raise Conflict(f"submission {request.submission} was taken back: its task has ended")
    if (row["parent"], row["parent_attempt"]) != (request.task, request.attempt):
        raise AlreadyExists(f"submission {request.submission} exists already and is another", field="submission")
    seen = await submissions.find_chunk(db, request.submission, request.number)
    if seen is not None:
        if seen["digest"] != digest:
            raise AlreadyExists(f"part {request.number} was sent before with other content", field="number")
        return "seen"
    if row["sealed"] or row["status"] != SubmissionStatus.OPEN:
        raise Conflict(f"submission {request.submission} is complete: it takes no further parts")
    return "another"


async def _promise(db: Db, request: Spawn) -> None:
    """Notes the results that the parent has created."""
    if not request.results:
        return
    for n, new in enumerate(request.results):
        if new.id is None:
            raise Invalid("a result that a task creates has an id", field=f"results[{n}].id")
        if new.data is not None and (new.object is not None or len(new.data) > INLINE_LIMIT):
            raise Invalid(f"either data of at most {INLINE_LIMIT} bytes, or an object", field=f"results[{n}].data")
    noted = await store.promise_results(db, request.submission, request.results)
    if len(noted) < len(request.results):
        n = next((n for n, new in enumerate(request.results) if new.id not in noted), 0)
        raise AlreadyExists(f"result {request.results[n].id} is created twice", field=f"results[{n}].id")


async def _known(db: Db, plan: Plan, parent: Row) -> dict[UUID, tuple[UUID, int]]:
    """What the tasks may need of what is not theirs, and the results that they are to produce: session and state of each."""
    session, named = parent["id"], [*plan.outside, *plan.claims]
    if not named:
        return {}
    found: dict[UUID, tuple[UUID, int]] = dict.fromkeys(parent["outputs"], (session, ResultStatus.CREATED))
    for result, complete in (await store.promised(db, plan.submission, named)).items():
        found[result] = (session, ResultStatus.COMPLETED if complete else ResultStatus.CREATED)
    for result, task in plan.claims.items():
        if result not in found:
            why = f"result {result} is neither an expected output of the task that submits, nor created by it"
            raise NotFound(why, field=f"tasks[{ids.line_of(task) - plan.first}].outputs")
    own = {*(parent["inputs"] or ()), parent["payload_result"]} & plan.outside.keys()
    if own:
        found.update(await rows.hold_results(db, own))
    for result, field in plan.outside.items():
        if result not in found:
            why = f"result {result} is neither an input or expected output of the task that submits, nor created by it"
            raise NotFound(why, field=field)
    return found


async def _claim(db: Db, plan: Plan, expected: list[UUID]) -> None:
    """Each result has one producer."""
    if not plan.claims:
        return
    claims = plan.claims
    if taken := claims.keys() - await store.promise_outputs(db, plan.submission, claims, expected):
        result = min(taken, key=lambda one: claims[one])
        raise Conflict(
            f"result {result} has a value, or is the output of another subtask",
            field=f"tasks[{ids.line_of(claims[result]) - plan.first}].outputs",
        )


async def _seal(db: Db, chunk: Chunk, plan: Plan, *, alone: bool) -> None:
    """Checks what only the whole can show. `alone`: no other part has come."""
    total, marks = await whole.totals(db, chunk, plan, alone=alone, part="part", field="number")
    if marks.cross_chunk:
        await whole.check_references(db, chunk)
    if marks.claims and (found := await store.backward(db, chunk.submission)):
        line, later = ids.line_of(found["task"]), ids.line_of(found["owner"])
        producer = "itself" if line == later else f"line {later}, a later one"
        raise Conflict(
            f"line {line} needs result {found['id']}, which is produced by {producer}",
            field=f"tasks[{line - chunk.first}].inputs",
        )
    await store.seal(db, chunk.submission, total, marks)
