"""Sessions, results and submissions: what users ask of the scheduler. Version 1.

Endpoints, each also a durable command (`hr.cmd.<user>.scheduler.<noun>.<verb>`) where it changes something
(but for partitions, which only an admin makes):

| subject                                | request            | reply           |
|----------------------------------------|--------------------|-----------------|
| `hr.rpc.scheduler.partition.create`    | PartitionCreate    | Partition       |
| `hr.rpc.scheduler.partition.list`      | Page               | PartitionPage   |
| `hr.rpc.scheduler.session.create`      | SessionCreate      | Session         |
| `hr.rpc.scheduler.session.get`         | SessionGet         | Session         |
| `hr.rpc.scheduler.session.list`        | SessionList        | SessionPage     |
| `hr.rpc.scheduler.session.close`       | SessionRef         | Session         |
| `hr.rpc.scheduler.result.create`       | ResultCreate       | ResultList      |
| `hr.rpc.scheduler.result.complete`     | ResultComplete     | Result          |
| `hr.rpc.scheduler.result.abort`        | ResultAbort        | ResultList      |
| `hr.rpc.scheduler.result.get`          | ResultRef          | Result          |
| `hr.rpc.scheduler.result.list`         | ResultQuery        | ResultPage      |
| `hr.rpc.scheduler.result.value`        | ResultRef          | Value           |
| `hr.rpc.scheduler.submission.create`   | SubmissionCreate   | Submission      |
| `hr.rpc.scheduler.submission.chunk`    | TaskSpec lines ¹   | Submission      |
| `hr.rpc.scheduler.submission.get`      | SubmissionRef      | Submission      |
| `hr.rpc.scheduler.task.get`            | TaskRef            | Task            |
| `hr.rpc.scheduler.task.list`           | TaskQuery          | TaskPage        |
| `hr.rpc.scheduler.task.explain`        | TaskRef            | Explanation     |
| `hr.rpc.scheduler.task.logs`           | TaskLogs           | TaskLog         |

¹ newline-delimited JSON; no blank lines; the headers Hr-Session, Hr-Submission, Hr-Chunk (from 0), Hr-First (the number of its
first line in the submission) and Hr-Last (`1` on the last) say the rest; Hr-Options (Options as JSON) stands on every chunk
or on none. The last chunk is sent when all others have been answered. Sending a chunk again does nothing; sending other content
under the same number is `already_exists`.
"""

from typing import Annotated, Final
from uuid import UUID

import msgspec

from shared.contracts.paging import Page

VERSION: Final = 1

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}$(?!\n)")]
"""A name that may become a path, a key or a subject token: no slash, no leading dot, no control characters.

(`$` alone would let a final newline pass.)"""
PartitionName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$(?!\n)")]
Function = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_.:-]{0,127}$(?!\n)")]
Label = Annotated[str, msgspec.Meta(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)")]
"""A text for people: anything but control characters."""

DEFAULT_PARTITION: Final = "default"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a task is to run. What is not said is inherited: task, then submission, then session, then the defaults.

    partition      where it runs                                          (`default`)
    function       which of the workers' functions runs it                (required in the end)
    priority       1 to 99, higher first                                  (1)
    max_retries    further attempts after an infrastructure failure       (2)
    max_duration   seconds that its code may run, 0.001 to 30 days        (no limit)
    labels         the user's own, at most 64, not read by Headrace
    """

    partition: PartitionName | None = None
    function: Function | None = None
    priority: Annotated[int, msgspec.Meta(ge=1, le=99)] | None = None
    max_retries: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    max_duration: Annotated[float, msgspec.Meta(ge=0.001, le=2_592_000)] | None = None
    labels: Annotated[dict[Label, Label], msgspec.Meta(max_length=64)] | None = None


class PartitionCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: PartitionName


class Partition(msgspec.Struct, frozen=True):
    """`slots`: tasks that its live workers can run at once. `outstanding`: tasks in the queue or with a worker."""

    name: str
    workers: int
    slots: int
    outstanding: int


class PartitionPage(msgspec.Struct, frozen=True):
    items: list[Partition]
    next: str = ""


class SessionCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`partitions`: those that its tasks may use (none said: `default`); the first is where tasks go that say nothing."""

    partitions: Annotated[list[PartitionName], msgspec.Meta(max_length=64)] = []
    options: Options = Options()
    name: Label = ""


class SessionRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    session: UUID


class SessionGet(SessionRef, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`counts`: with its tasks counted by where they stand, which reads all of them."""

    counts: bool = False


class SessionList(Page, frozen=True, forbid_unknown_fields=True):
    """Newest first. `status`: only those in this state."""

    status: str = ""


class Counts(msgspec.Struct, frozen=True):
    """Tasks of a session by where they stand. `running` counts only those known to run for 100 ms or more."""

    total: int = 0
    waiting: int = 0
    queued: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0


class Session(msgspec.Struct, frozen=True):
    """Times are RFC 3339. `version` grows with every change, so that a reader can order repeats."""

    id: UUID
    name: str
    status: str
    owner: str
    partitions: list[str]
    options: Options
    client_submission: bool
    worker_submission: bool
    created_at: str
    closed_at: str | None
    version: int
    tasks: Counts | None = None


class SessionPage(msgspec.Struct, frozen=True):
    items: list[Session]
    next: str = ""


class NewResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A result to create. With `data` (base64 in JSON, at most 16 KiB) or `object` it is complete at once.

    `id`: the caller's own UUID, which makes a repeat harmless. `object`: the key of an object already stored, with `size`.
    """

    name: Label = ""
    id: UUID | None = None
    data: bytes | None = None
    object: str | None = None
    size: Annotated[int, msgspec.Meta(ge=0)] = 0


class ResultCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    session: UUID
    results: Annotated[list[NewResult], msgspec.Meta(min_length=1, max_length=1000)]


class ResultComplete(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Gives a created result its value: `data` inline, or the key of an `object` already stored."""

    result: UUID
    data: bytes | None = None
    object: str | None = None
    size: Annotated[int, msgspec.Meta(ge=0)] = 0


class ResultAbort(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The values of these results will never come: what waits for them fails, with the reason."""

    session: UUID
    results: Annotated[list[UUID], msgspec.Meta(min_length=1, max_length=1000)]
    reason: Annotated[str, msgspec.Meta(max_length=2000)] = ""


class ResultRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    result: UUID


class ResultQuery(Page, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The results of a session in the order of their ids; `ids`: just these (at most 1,000)."""

    session: UUID
    status: str = ""
    ids: Annotated[list[UUID], msgspec.Meta(max_length=1000)] | None = None


class Result(msgspec.Struct, frozen=True):
    """`opaque`: where its value lies, `inline:<id>` or an object's key; empty until it is complete. `size` in bytes."""

    id: UUID
    session: UUID
    name: str
    status: str
    owner_task: UUID | None
    opaque: str
    size: int
    created_at: str
    completed_at: str | None


class ResultList(msgspec.Struct, frozen=True):
    results: list[Result]


class ResultPage(msgspec.Struct, frozen=True):
    items: list[Result]
    next: str = ""


class Value(msgspec.Struct, frozen=True, omit_defaults=True):
    """A result's value: `data` itself, or the key of the `object` that holds it."""

    id: UUID
    size: int
    data: bytes | None = None
    object: str | None = None


class TaskSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One task of a submission.

    payload   any JSON value, handed to the function as its JSON text, at most 16 KiB; or
    payload_result   the id of a result (its value is the payload; it may be given later: it counts as a dependency)
    inputs    the results it needs, in order: ids, or `@7` (the output of line 7 of this submission) or `@7.1` (its
              output number 1); only earlier lines, so that a submission cannot wait for itself
    outputs   how many results it produces (1 unless said), or the ids of results created before
    options   over those of the submission and the session
    """

    payload: msgspec.Raw = msgspec.Raw(b"null")
    payload_result: str | None = None
    inputs: Annotated[list[str], msgspec.Meta(max_length=100_000)] = []
    outputs: Annotated[int, msgspec.Meta(ge=0, le=256)] | Annotated[list[UUID], msgspec.Meta(max_length=256)] = 1
    options: Options | None = None


class SubmissionCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A whole submission in one message. `id` (see `ids.submission_id`) makes a repeat harmless."""

    session: UUID
    tasks: Annotated[list[TaskSpec], msgspec.Meta(min_length=1)]
    id: UUID | None = None
    options: Options | None = None


class SubmissionRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    submission: UUID


class Submission(msgspec.Struct, frozen=True):
    """Task ids are the submission's id with the line in the low bits, result ids likewise (see `ids`)."""

    id: UUID
    session: UUID
    status: str
    chunks: int
    tasks: int


class TaskRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    task: UUID


class TaskQuery(Page, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The tasks of a session in the order of their ids."""

    session: UUID
    status: str = ""


class Task(msgspec.Struct, frozen=True):
    """`name` is the id with `###<n>` for the n-th retry. `remaining`: dependencies not yet met. `error`: why it failed.

    `inputs` and `outputs` show the first 1,000 each; `task.inputs` tells all the inputs.
    """

    id: UUID
    name: str
    session: UUID
    submission: UUID
    status: str
    attempt: int
    remaining: int
    inputs: list[UUID]
    outputs: list[UUID]
    partition: str
    function: str
    priority: int
    max_retries: int
    max_duration: float | None
    worker: str
    error: str
    created_at: str
    started_at: str | None
    ended_at: str | None


class TaskPage(msgspec.Struct, frozen=True):
    items: list[Task]
    next: str = ""


class Explanation(msgspec.Struct, frozen=True):
    """Why a task is where it is: one `summary`, then `reasons` from the most to the least decisive."""

    task: Task
    summary: str
    reasons: list[str]


class TaskLogs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an attempt (the latest, if none is said) has printed, from character `start` on."""

    task: UUID
    attempt: Annotated[int, msgspec.Meta(ge=0, le=32_767)] | None = None
    start: Annotated[int, msgspec.Meta(ge=0, le=2_147_483_647)] = 0


class TaskLog(msgspec.Struct, frozen=True):
    """`next`: the `start` to ask for next. `more`: there is more already. `ended`: the attempt has, nothing else will come.

    `text` has at most 256 KiB as JSON, and no control characters but newline and tab.
    """

    task: UUID
    attempt: int
    text: str
    next: int
    more: bool
    ended: bool
