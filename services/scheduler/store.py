"""Typed calls of queries.sql: rows in, contracts out."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from shared.contracts import ids
from shared.contracts.compute import (
    Application,
    Attempt,
    Counts,
    Options,
    Result,
    Session,
    Submission,
    Task,
    Value,
)
from shared.contracts.errors import NotFound
from shared.contracts.states import ResultStatus, SessionStatus, SubmissionStatus, TaskStatus, name_of
from shared.db.sql import load
from shared.runtime.clock import rfc3339

Q = load(__file__)
Row = Mapping[str, Any]
SHOWN = 1000
"""Inputs, and outputs, that a Task shows: a task may have so many that they fit into no reply."""
Db = Any
"""asyncpg's pool or connection."""


def span(submission: UUID) -> tuple[UUID, UUID]:
    """The first and the last id that a task of a submission can have."""
    return submission, UUID(int=submission.int | (1 << 32) - 1)


def result_span(submission: UUID) -> tuple[UUID, UUID]:
    """The id below the first and the last one that a result of a submission can have."""
    low = submission.int | 1 << 32
    return UUID(int=low - 1), UUID(int=low | (1 << 32) - 1)


def _time(value: datetime | None) -> str | None:
    return None if value is None else rfc3339(value)


# -- sessions


def session_of(row: Row, counts: Counts | None = None) -> Session:
    return Session(
        row["id"],
        row["name"],
        name_of(SessionStatus(row["status"])),
        row["owner"],
        row["partitions"],
        msgspec.json.decode(row["options"], type=Options),
        row["client_submission"],
        row["worker_submission"],
        rfc3339(row["created_at"]),
        _time(row["closed_at"]),
        row["version"],
        counts,
        _time(row["cancelled_at"]),
        _time(row["purged_at"]),
        _time(row["expires_at"]),
        str(row["operation"] or ""),
        row["close_when_done"],
    )


async def session(db: Db, session: UUID, query: str = "session") -> Row:
    row: Row | None = await db.fetchrow(Q[query], session)
    if row is None:
        raise NotFound(f"there is no session {session}", field="session")
    return row


_COUNTED = {
    TaskStatus.CREATING: "waiting",
    TaskStatus.PENDING: "waiting",
    TaskStatus.PAUSED: "waiting",
    TaskStatus.SUBMITTED: "queued",
    TaskStatus.DISPATCHED: "running",
    TaskStatus.PROCESSING: "running",
    TaskStatus.CANCELLING: "running",
    TaskStatus.COMPLETED: "completed",
    TaskStatus.ERROR: "failed",
    TaskStatus.TIMEOUT: "failed",
    TaskStatus.RETRIED: "failed",
    TaskStatus.CANCELLED: "cancelled",
}


async def counts(db: Db, session: Row, unplaced: dict[str, int]) -> Counts:
    """Tasks of a session by where they stand; reads all of them. `unplaced`: as in Counts."""
    found: dict[str, int] = {}
    for row in await db.fetch(Q["session_counts"], session["id"], session["status"] == SessionStatus.RUNNING):
        where = "queued" if row["chosen"] else _COUNTED[TaskStatus(row["status"])]
        found[where] = found.get(where, 0) + row["tasks"]
    return Counts(total=sum(found.values()), **found, unplaced=unplaced)


# -- submissions


async def submissions_of(db: Db, session: UUID, *, unborn: bool = True) -> list[UUID]:
    """All that left rows, complete or not. `unborn`: also those of tasks that have not completed, which nobody has seen."""
    return [row["id"] for row in await db.fetch(Q["submissions_of_session"], session, unborn)]


async def visible_of(db: Db, session: UUID, start: UUID | None = None) -> list[UUID]:
    """Those that count: a submission whose last chunk has not come is not shown. From `start` on."""
    return [row["id"] for row in await db.fetch(Q["visible_of_session"], session, start)]


def submission_of(row: Row) -> Submission:
    return Submission(row["id"], row["session"], name_of(SubmissionStatus(row["status"])), row["chunks"], row["tasks"])


# -- results


def checksum_of(row: Row) -> str:
    """The SHA-256 of a value in hex. Of an inline one it is made when somebody looks: it lies beside it anyway."""
    if row["checksum"] is None and row["data"] is not None:
        return hashlib.sha256(row["data"]).hexdigest()
    return "" if row["checksum"] is None else bytes(row["checksum"]).hex()


def result_of(row: Row) -> Result:
    done = row["status"] == ResultStatus.COMPLETED
    opaque = (row["object"] or f"inline:{row['id']}") if done else ""
    return Result(
        row["id"],
        row["session"],
        row["name"],
        name_of(ResultStatus(row["status"])),
        row["owner"],
        opaque,
        row["size"],
        rfc3339(row["created_at"]),
        _time(row["completed_at"]),
        checksum_of(row),
        row["owned"],
    )


async def result(db: Db, result: UUID) -> Row:
    row: Row | None = await db.fetchrow(Q["result"], result)
    if row is None:
        raise NotFound(f"there is no result {result}", field="result")
    return row


async def values(db: Db, results: Iterable[UUID]) -> dict[UUID, Value]:
    """The values of complete results by id."""
    rows = await db.fetch(Q["values"], list(results))
    return {row["id"]: Value(row["id"], row["size"], row["data"], row["object"]) for row in rows}


# -- tasks


async def cursors(db: Db, tasks: Sequence[Row]) -> dict[tuple[UUID, int, int], int]:
    """How far the lanes of these tasks were chosen: ready tasks below are SUBMITTED without a write."""
    submissions = list({ids.submission_of(row["id"]) for row in tasks})
    rows = await db.fetch(Q["lanes_of"], submissions)
    return {(row["submission"], row["partition"], row["priority"]): row["cursor"] for row in rows}


def status_of(row: Row, cursors: Mapping[tuple[UUID, int, int], int], session: SessionStatus) -> TaskStatus:
    """What users see. A ready task that its row calls PENDING is PAUSED in a PAUSED session; in a RUNNING one it is
    SUBMITTED if its lane has passed it: only first attempts are chosen by a lane."""
    status = TaskStatus(row["status"])
    if status is not TaskStatus.PENDING or row["remaining"]:
        return status
    if session is SessionStatus.PAUSED:
        return TaskStatus.PAUSED
    if session is SessionStatus.RUNNING and row["deps"] == 0 and row["attempt"] == 0:
        lane = (ids.submission_of(row["id"]), row["partition"], row["priority"])
        if ids.line_of(row["id"]) < cursors.get(lane, 0):
            return TaskStatus.SUBMITTED
    return status


def task_of(row: Row, status: TaskStatus, created: datetime | None = None) -> Task:
    task: UUID = row["id"]
    submission = ids.submission_of(task)
    made = created or datetime.fromtimestamp((submission.int >> 80) / 1000).astimezone()
    return Task(
        task,
        ids.attempt_name(task, row["attempt"]),
        row["session"],
        submission,
        name_of(status),
        row["attempt"],
        row["remaining"],
        (row["inputs"] or [])[:SHOWN],
        row["outputs"][:SHOWN],
        row["partition_name"],
        row["function"],
        row["priority"],
        row["max_retries"],
        float(f"{row['max_duration']:.7g}") if row["max_duration"] else None,  # stored with seven digits
        row["worker"] or "",
        row["error"] or "",
        rfc3339(made),
        _time(row["started_at"]),
        _time(row["ended_at"]),
        row["parent"],
        row["payload_result"],
        {} if row["labels"] is None else msgspec.json.decode(row["labels"], type=dict[str, str]),
        *_application(row["application"]),
    )


def _application(text: str | None) -> tuple[str, ...]:
    return () if text is None else msgspec.structs.astuple(msgspec.json.decode(text, type=Application))


def attempt_of(task: UUID, row: Row) -> Attempt:
    return Attempt(
        row["attempt"],
        ids.attempt_name(task, row["attempt"]),
        name_of(TaskStatus(row["status"])),
        row["worker"] or "",
        row["error"] or "",
        _time(row["started_at"]),
        _time(row["ended_at"]),
    )


async def task(db: Db, task: UUID) -> Row:
    row: Row | None = await db.fetchrow(Q["task"], task)
    if row is None:
        raise NotFound(f"there is no task {task}", field="task")
    return row
