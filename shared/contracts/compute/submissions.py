"""Submissions: tasks on their way in."""

from typing import Annotated, Final
from uuid import UUID

import msgspec

from shared.contracts.compute.options import Function, Options

MAX_INPUTS: Final = 100_000
"""Most inputs of a task."""


class TaskSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One task of a submission.

    payload   any JSON value, handed to the function as its JSON text, at most 16 KiB; or
    payload_result   the id of a result (its value is the payload; it may be given later: it counts as a dependency)
    inputs    the results it needs, in order: ids, or `@7` (the output of line 7 of this submission) or `@7.1` (its
              output number 1); only earlier lines, so that a submission cannot wait for itself
    outputs   how many results it produces (1 unless given), or the ids of results created before
    function  which of the workers' functions runs it; the same as `options.function`, and goes before it
    options   over those of the submission and the session
    inputs_from   the id of a result whose value is a JSON list of what `inputs` may have: they follow those in `inputs`. It is
              read when the task is submitted: it has to be complete by then, and a list has at most 8 MiB. A task has at most
              100,000 inputs in all; those from lists are at most 200,000 for the tasks of one message
    """

    payload: msgspec.Raw = msgspec.Raw(b"null")
    payload_result: str | None = None
    inputs: Annotated[list[str], msgspec.Meta(max_length=MAX_INPUTS)] = []
    outputs: Annotated[int, msgspec.Meta(ge=0, le=256)] | Annotated[list[UUID], msgspec.Meta(max_length=256)] = 1
    options: Options | None = None
    inputs_from: UUID | None = None
    function: Function | None = None


class SubmissionCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A whole submission in one message. `id` (see `ids.submission_id`) makes a repeat harmless."""

    session: UUID
    tasks: Annotated[list[TaskSpec], msgspec.Meta(min_length=1)]
    id: UUID | None = None
    options: Options | None = None


class SubmissionRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names a submission."""

    submission: UUID


class Submission(msgspec.Struct, frozen=True):
    """Task ids are the submission's id with the line in the low bits, result ids likewise (see `ids`)."""

    id: UUID
    session: UUID
    status: str
    chunks: int
    tasks: int
