"""Tasks, as users see them."""

from typing import Annotated
from uuid import UUID

import msgspec

from shared.contracts.compute.filters import Sort, Where
from shared.contracts.paging import Page


class TaskRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names a task."""

    task: UUID


class TaskCancel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ends these tasks of a session; what waits for their results fails. Those that have ended stay as they are."""

    session: UUID
    tasks: Annotated[list[UUID], msgspec.Meta(min_length=1, max_length=10_000)]


class TaskRerun(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Another attempt for tasks that ended badly, and for those that ended only because of them.

    tasks      these (at most 10,000); none given: all of the session that are in one of
    statuses   `error`, `timeout`, `cancelled`      (error and timeout)
    """

    session: UUID
    tasks: Annotated[list[UUID], msgspec.Meta(max_length=10_000)] | None = None
    statuses: list[str] = msgspec.field(default_factory=lambda: ["error", "timeout"])


class Unchanged(msgspec.Struct, frozen=True):
    """A task that stays as it is, and why."""

    task: UUID
    reason: str


class TaskChanges(msgspec.Struct, frozen=True):
    """How many tasks have changed, and how many of those named have not. `reasons`: of the first 100 that have not."""

    changed: int
    unchanged: int
    reasons: list[Unchanged] = []


class TaskQuery(Page, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The tasks of a session: those that fit (see `filters`), in the order of their ids or as `sort` says."""

    session: UUID
    status: str = ""
    where: Where = msgspec.field(default_factory=list)
    sort: Sort = ""


class Task(msgspec.Struct, frozen=True, omit_defaults=True):
    """`name` is the id with `###<n>` for the n-th retry. `remaining`: dependencies not yet met. `error`: why it failed.

    Its options are shown as they came out of its own, its submission's and its session's. `inputs` and `outputs` show the
    first 1,000 each; `task.inputs` lists all the inputs. `parent`: the task that submitted it.
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
    parent: UUID | None = None
    payload_result: UUID | None = None
    labels: dict[str, str] = {}
    application_name: str = ""
    application_version: str = ""
    application_namespace: str = ""
    application_service: str = ""


class TaskPage(msgspec.Struct, frozen=True):
    """A page of tasks. `next`: the token of the next page, empty on the last one."""

    items: list[Task]
    next: str = ""


class Explanation(msgspec.Struct, frozen=True):
    """Why a task is where it is: one `summary`, then `reasons` from the most to the least decisive.

    since   when it began to wait for its turn; None: it does not, or nobody knows
    """

    task: Task
    summary: str
    reasons: list[str]
    since: str | None = None


class TaskLogs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an attempt (the latest, if none is given) has printed, from character `start` on."""

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
