"""What only the whole of a submission can show: that its chunks have all come, and that their tasks fit together."""

from uuid import UUID

from services.scheduler.compute.submissions import store
from services.scheduler.compute.submissions.chunk import Chunk
from services.scheduler.compute.submissions.plan import Marks, Plan
from services.scheduler.machine import MACHINES
from services.scheduler.spans import result_span, task_span
from shared.contracts import headers as h
from shared.contracts import ids
from shared.contracts.errors import Conflict, Invalid
from shared.db.sql import Db, load

Q = load(__file__, "whole.sql", MACHINES)


async def totals(
    db: Db, chunk: Chunk, plan: Plan, *, alone: bool, part: str, field: str = h.CHUNK
) -> tuple[int, Marks]:
    """The number of tasks, and the marks, of the submission that this chunk completes. `alone`: no other chunk has come.

    Conflict if chunks are missing or do not join; it calls them `part`, and names `field`.
    """
    if alone:
        if chunk.number or chunk.first:
            raise Conflict(f"the first {part} of a submission has number 0 and line 0", field=field)
        return len(plan.tasks), plan.marks
    sums = await store.chunk_totals(db, chunk.submission)
    if sums["chunks"] != chunk.number + 1 or sums["last"] != chunk.number or not sums["contiguous"]:
        raise Conflict(f"{sums['chunks']} of {chunk.number + 1} {part}s have arrived, or their lines do not join")
    return sums["tasks"], Marks(sums["cross_chunk"], sums["outside"], sums["claims"], sums["applications"])


async def check_references(db: Db, chunk: Chunk) -> None:
    """Invalid if a line refers to an output that an earlier chunk's line does not have."""
    first, last = task_span(chunk.submission)
    _, last_result = result_span(chunk.submission)
    task: UUID | None = await Q.dangling.fetchval(db, first=first, last=last, last_result=last_result)
    if task is not None:
        line = ids.line_of(task)
        raise Invalid(
            f"line {line} refers to an output that its line does not have", field=f"tasks[{line - chunk.first}].inputs"
        )


async def check_cycles(db: Db, chunk: Chunk) -> None:
    """Conflict if a task would wait for itself. Until this transaction ends nobody else checks in this session."""
    first, last = task_span(chunk.submission)
    await Q.lock_graph.execute(db, session=str(chunk.session))
    task: UUID | None = await Q.cycle.fetchval(db, first=first, last=last)
    if task is not None:
        line = ids.line_of(task)
        raise Conflict(f"line {line} would wait for itself", field=f"tasks[{line - chunk.first}].inputs")


async def begin_tasks(db: Db, submission: UUID) -> list[UUID]:
    """Tasks that wait for others' results are PENDING from now on. Returns those whose results have come meanwhile."""
    first, last = task_span(submission)
    return [row["id"] for row in await Q.begin_tasks.fetch(db, first=first, last=last) if row["remaining"] == 0]
