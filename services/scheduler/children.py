"""What a task has created becomes real with its completion: one transaction, or none of it.

The completer calls `complete` for reports that name a submission (docs/adr/0013-subtasks.md); all others take the fast way.
"""

from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from services.scheduler import store
from shared.bus.unit import Unit
from shared.contracts import subjects
from shared.contracts.errors import AlreadyExists, Conflict, Invalid
from shared.contracts.events import Frame, SubmissionMade
from shared.contracts.states import ResultStatus, SessionStatus
from shared.contracts.work import Completed

Q = store.Q
TOLD = 8_000
"""Most ids in one frame, so that it fits in a message."""


class Ended(msgspec.Struct, frozen=True):
    """A parent that completed, and the tasks chosen by it (rows of kind 3, see 0002_release.sql)."""

    partition: int
    function: str
    chosen: list[Any]


def check_open(session: store.Row) -> None:
    """Conflict, if the session's tasks may submit none."""
    state = SessionStatus(session["status"])
    if state not in (SessionStatus.RUNNING, SessionStatus.PAUSED):
        raise Conflict(f"session {session['id']} is {state.name}: its tasks may not submit tasks or create results")
    if not session["worker_submission"]:
        raise Conflict(f"session {session['id']} takes no tasks or results from its tasks any more")


async def complete(unit: Unit, report: Completed, credits: tuple[list[int], list[int]]) -> Ended | None:
    """In the unit's transaction. None: the report does not count, as any that is late or comes twice.

    A HeadraceError: the task cannot complete like this, and fails. Locks in the order of 0002_release.sql: the session, the
    task, results, dependents.
    """
    db, submission = unit.connection, report.submission
    parent = await db.fetchrow(Q["hold_parent"], report.task, report.attempt)
    if parent is None:
        return None
    check_open(parent)
    ended = await db.fetchrow(Q["complete_parent"], report.task, report.attempt)
    if ended is None:  # by somebody else, while we waited for its row
        return None
    await db.execute(Q["free_parent"], report.task)
    shown = await db.fetchrow(Q["show_children"], submission, report.task, report.attempt)
    if shown is None:
        raise Conflict(f"it was reported with submission {submission}, of which not all has arrived")
    await _divide(db, report, ended["outputs"])
    created = await _create(db, report, parent["id"])
    rows = await _release(db, report, shown["outside"], credits)
    await db.execute(Q["drop_promises"], submission)
    _tell(unit, report, parent["id"], [*(out.id for out in report.outputs), *created], shown["tasks"])
    return Ended(ended["partition"], ended["function"], rows)


async def _divide(db: Any, report: Completed, expected: list[UUID]) -> None:
    """Each expected output goes to a child, or gets its value here."""
    given = {row["id"] for row in await db.fetch(Q["delegate"], report.submission, report.task)}
    outputs = report.outputs
    told = {out.id for out in outputs}
    if given & told or given | told != set(expected) or len(told) < len(outputs):
        raise Invalid(f"reported {len(outputs)} outputs and delegated {len(given)}, {len(expected)} are expected")
    made = await db.fetch(
        Q["complete_outputs"],
        report.task,
        [out.id for out in outputs],
        [out.size for out in outputs],
        [out.data for out in outputs],
        [out.object for out in outputs],
    )
    if len(made) < len(outputs):
        raise Invalid("the outputs reported are not the outputs of their task")


async def _create(db: Any, report: Completed, session: UUID) -> list[UUID]:
    """The results that it created. Returns those that have a value."""
    try:
        rows = await db.fetch(Q["create_promised"], report.submission, session)
    except asyncpg.UniqueViolationError as error:
        raise AlreadyExists(f"a result that it created exists already: {error.detail}") from None
    return [row["id"] for row in rows if row["status"] == ResultStatus.COMPLETED]


async def _release(db: Any, report: Completed, outside: bool, credits: tuple[list[int], list[int]]) -> list[Any]:
    """Counts down who waits for its outputs, children too, which then begin. Returns what is to be dispatched at once."""
    assert report.submission is not None
    rows: list[Any] = []
    if report.outputs:
        rows += await db.fetch(Q["count_down"], [out.id for out in report.outputs], *credits)
    if outside:
        begun = await db.fetch(Q["begin_tasks"], *store.span(report.submission))
        if ready := [row["id"] for row in begun if row["remaining"] == 0]:
            rows += await db.fetch(Q["choose"], ready, *credits)
    return rows


def _tell(unit: Unit, report: Completed, session: UUID, results: list[UUID], tasks: int) -> None:
    assert report.submission is not None
    subject = subjects.event("task", "changed", session)
    unit.tell(subject, Frame(session, completed=[report.task], results=results[:TOLD]))
    for start in range(TOLD, len(results), TOLD):
        unit.tell(subject, Frame(session, results=results[start : start + TOLD]))
    if tasks:
        made = SubmissionMade(session, report.submission, tasks)
        unit.tell(subjects.event("submission", "visible", session), made)
