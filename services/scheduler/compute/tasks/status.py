"""What users see of a task: its state, and the contract of its row."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import msgspec

from shared.contracts import ids
from shared.contracts.compute import Application, Attempt, Task
from shared.contracts.states import SessionStatus, TaskStatus, name_of
from shared.db.sql import Row
from shared.runtime.clock import rfc3339, rfc3339_or_none

SHOWN = 1000
"""Inputs, and outputs, that a Task shows: a task may have so many that they fit into no reply."""
Cursors = Mapping[tuple[UUID, int, int], int]
"""How far lanes were chosen, by submission, partition and priority: ready tasks of lines below are SUBMITTED without a write."""


def status_of(row: Row, cursors: Cursors, session: SessionStatus) -> TaskStatus:
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
    """The contract of a row. `created`: by default as its submission's id says, to the millisecond."""
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
        rfc3339_or_none(row["started_at"]),
        rfc3339_or_none(row["ended_at"]),
        row["parent"],
        row["payload_result"],
        {} if row["labels"] is None else msgspec.json.decode(row["labels"], type=dict[str, str]),
        *_application(row["application"]),
    )


def _application(text: str | None) -> tuple[str, ...]:
    return () if text is None else msgspec.structs.astuple(msgspec.json.decode(text, type=Application))


def attempt_of(task: UUID, row: Row) -> Attempt:
    """The contract of an attempt of a task; `row`: of the history, or the task's own."""
    return Attempt(
        row["attempt"],
        ids.attempt_name(task, row["attempt"]),
        name_of(TaskStatus(row["status"])),
        row["worker"] or "",
        row["error"] or "",
        rfc3339_or_none(row["started_at"]),
        rfc3339_or_none(row["ended_at"]),
    )
