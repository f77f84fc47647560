"""Questions about many tasks: how many, with which outputs, after which attempts."""

from typing import Annotated
from uuid import UUID

import msgspec

from shared.contracts.compute.filters import Where
from shared.contracts.paging import Page


class TaskCount(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How many tasks of a session are in each state; `where`: of those that fit (see `filters`)."""

    session: UUID
    where: Where = []


class TaskCounts(msgspec.Struct, frozen=True):
    """`counts` by the names of the states, those without tasks left out. `total` of them all."""

    session: UUID
    total: int
    counts: dict[str, int]


class TaskOutputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which results do these tasks produce?"""

    tasks: Annotated[list[UUID], msgspec.Meta(min_length=1, max_length=1000)]


class OutputsOf(msgspec.Struct, frozen=True):
    """The results that one task produces."""

    task: UUID
    outputs: list[UUID]


class OutputsPage(msgspec.Struct, frozen=True):
    """In the order asked. `left`: so many at the end of the list found no room in the answer: ask for those again."""

    items: list[OutputsOf]
    left: int = 0


class AttemptQuery(Page, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The attempts at a task, from the first to the current one."""

    task: UUID


class Attempt(msgspec.Struct, frozen=True):
    """`name`: the task's id, with `###<n>` from the first retry on. `status` of an earlier one: mostly `retried`.

    `started_at` is known of attempts that ran for 100 ms or more; `worker` likewise, or if it was lost with it.
    """

    attempt: int
    name: str
    status: str
    worker: str
    error: str
    started_at: str | None
    ended_at: str | None


class AttemptPage(msgspec.Struct, frozen=True):
    """A page of attempts. `next`: the token of the next page, empty on the last one."""

    items: list[Attempt]
    next: str = ""
