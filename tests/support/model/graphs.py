"""Graphs of tasks in the scheduler's tables, and a model in plain Python of what has to become of them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from services.scheduler.compute.completion import store as completion
from services.scheduler.compute.completion.batch import Batch
from services.scheduler.compute.sessions import store as sessions
from services.scheduler.compute.submissions import store as submissions
from services.scheduler.compute.submissions import whole
from services.scheduler.compute.submissions.chunk import Chunk
from services.scheduler.compute.submissions.options import session_defaults
from services.scheduler.compute.submissions.plan import EDGE_COLUMNS, RESULT_COLUMNS, TASK_COLUMNS, Plan
from shared.contracts import ids
from shared.contracts.compute import Options, SessionCreate, TaskSpec
from shared.contracts.states import ResultStatus, TaskStatus
from shared.contracts.work import Completed, Output, ReportBatch

WAITING, READY, DONE, FAILED = "waiting", "ready", "done", "failed"


class Shape(msgspec.Struct, frozen=True):
    """A task: how many outputs it has, and what it needs, as (line, output) of earlier ones or (-1, n) of outside."""

    outputs: int
    needs: tuple[tuple[int, int], ...]


class Graph:
    """A visible submission. `outside`: results that somebody gives a value later."""

    def __init__(self, session: UUID, submission: UUID, shapes: Sequence[Shape], outside: Sequence[UUID]) -> None:
        self.session, self.submission, self.shapes, self.outside = session, submission, shapes, outside

    def task(self, line: int) -> UUID:
        return ids.task_id(self.submission, line)

    def line(self, task: UUID) -> int:
        return ids.line_of(task)

    def outputs(self, line: int) -> list[UUID]:
        return [ids.result_id(self.submission, line, k) for k in range(self.shapes[line].outputs)]

    def result(self, need: tuple[int, int]) -> UUID:
        line, output = need
        return self.outside[output] if line < 0 else ids.result_id(self.submission, line, output)

    def completed(self, line: int, attempt: int = 0) -> Completed:
        return Completed(self.task(line), attempt, [Output(result, 1, b"1") for result in self.outputs(line)])


async def plant(pool: "asyncpg.Pool[Any]", shapes: Sequence[Shape], outside: int) -> Graph:
    """Writes a graph as the handlers do: the scheduler's own plan, its columns, its statements."""
    submission, others = ids.submission_id(), [ids.uuid7() for _ in range(outside)]
    session: UUID = (await sessions.create(pool, "ann", ["default"], SessionCreate()))["id"]
    graph = Graph(session, submission, shapes, others)
    plan = Plan(submission, session, 0, session_defaults(["default"], Options(function="f")), {"default": 1})
    for shape in shapes:
        inputs = [f"@{line}.{k}" if line >= 0 else str(others[k]) for line, k in shape.needs]
        plan.add(TaskSpec(inputs=inputs, outputs=shape.outputs))
    plan.link({result: (session, int(ResultStatus.CREATED)) for result in others})
    now, created = datetime.now(UTC), int(ResultStatus.CREATED)
    results: list[tuple[Any, ...]] = [(result, session, False, created, task, now) for result, task in plan.outputs]
    results += [(result, session, True, created, None, now) for result in others]
    async with pool.acquire() as db, db.transaction():
        await submissions.open(db, "ann", Chunk(session, submission, 0, 0, True, None, b"", {}))
        await db.copy_records_to_table("tasks", records=plan.tasks, columns=TASK_COLUMNS)
        await db.copy_records_to_table("results", records=results, columns=RESULT_COLUMNS)
        await db.copy_records_to_table("dependencies", records=plan.edges, columns=EDGE_COLUMNS)
        await submissions.show(db, submission, len(shapes), applications=False)
        await whole.begin_tasks(db, submission)
    return graph


async def complete(db: Any, reports: Sequence[Completed], credit: int) -> list[Any]:
    """The completer's statement for a batch of reports."""
    return await completion.complete(db, Batch([ReportBatch("w", list(reports))]).columns(), ([1], [credit]))


async def fail(db: Any, tasks: Sequence[UUID], attempt: int = 0) -> list[Any]:
    n = len(tasks)
    return await completion.end_tasks(db, tasks, [attempt] * n, [int(TaskStatus.ERROR)] * n, ["as told"] * n)


class Model:
    """What has to happen, without a database."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.unmet = [set(shape.needs) for shape in graph.shapes]
        self.state = [WAITING if unmet else READY for unmet in self.unmet]

    def ready(self) -> list[int]:
        return [line for line, state in enumerate(self.state) if state == READY]

    def meet(self, results: set[tuple[int, int]]) -> set[int]:
        """Results have values: who becomes ready."""
        found = set()
        for line, unmet in enumerate(self.unmet):
            if self.state[line] == WAITING and unmet:
                unmet -= results
                if not unmet:
                    self.state[line] = READY
                    found.add(line)
        return found

    def complete(self, lines: Sequence[int]) -> tuple[set[int], set[int]]:
        """Who ended, and who became ready, when these were reported at once."""
        ended = {line for line in lines if self.state[line] == READY}
        for line in ended:
            self.state[line] = DONE
        return ended, self.meet({(line, k) for line in ended for k in range(self.graph.shapes[line].outputs)})

    def fail(self, line: int) -> set[int]:
        """Who fails with it."""
        if self.state[line] in (DONE, FAILED):
            return set()
        self.state[line] = FAILED
        found = {line}
        for other, shape in enumerate(self.graph.shapes):
            if self.state[other] == WAITING and any(need[0] == line for need in shape.needs):
                found |= self.fail(other)
        return found
