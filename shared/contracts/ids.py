"""Identifiers: UUIDv7, with room for the tasks and results of one submission.

A submission's id is a UUIDv7 whose low 33 bits are zero. The ids of what it creates follow from it, so that a client that
knows the submission knows every id in it, and rows arrive in the order of the primary key:

    bits 127..33   the submission          (48 bits of milliseconds, version, variant, 41 random bits)
    bit  32        0 a task, 1 a result
    bits 31..0     a task: its line        a result: line << 8 | output

Source: RFC 9562 section 5.7 for the layout of version 7.
"""

import secrets
import time
from uuid import UUID

_RESULT = 1 << 32
_LOW = (1 << 33) - 1
MAX_TASKS = 1 << 24
"""Most tasks of one submission."""
MAX_OUTPUTS = 1 << 8
"""Most outputs of one task."""


def uuid7(milliseconds: int | None = None) -> UUID:
    """A new UUIDv7; `milliseconds` since the epoch, now if not given."""
    stamp = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    value = (stamp & (1 << 48) - 1) << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return UUID(int=value)


def submission_id(milliseconds: int | None = None) -> UUID:
    """A new submission's id: a UUIDv7 with its low 33 bits clear."""
    return UUID(int=uuid7(milliseconds).int & ~_LOW)


def is_submission(value: UUID) -> bool:
    """Whether `value` can name a submission."""
    return value.int & _LOW == 0 and value.version == 7


def task_id(submission: UUID, line: int) -> UUID:
    """The id of the task on `line` (from 0) of a submission."""
    return UUID(int=submission.int | line)


def result_id(submission: UUID, line: int, output: int = 0) -> UUID:
    """The id of output number `output` of the task on `line`."""
    return UUID(int=submission.int | _RESULT | line << 8 | output)


def submission_of(task: UUID) -> UUID:
    """The submission that created a task (or one of its results)."""
    return UUID(int=task.int & ~_LOW)


def line_of(task: UUID) -> int:
    """The line of a task in its submission."""
    return task.int & (1 << 32) - 1


def place_of(submission: UUID, result: UUID) -> tuple[int, int] | None:
    """The line and the number of an output that a submission creates; None if `result` is none of its."""
    if result.int >> 32 != submission.int >> 32 | 1:
        return None
    low = result.int & (1 << 32) - 1
    return low >> 8, low & 255


def attempt_name(task: UUID, attempt: int) -> str:
    """An attempt as people see it: the task's id, then `###<n>` from the first retry on (ArmoniK's form)."""
    return str(task) if attempt == 0 else f"{task}###{attempt}"
