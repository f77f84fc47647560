"""Sessions."""

from typing import Annotated
from uuid import UUID

import msgspec

from shared.contracts.compute.filters import Sort, Where
from shared.contracts.compute.options import Label, Options, PartitionName
from shared.contracts.paging import Page


class SessionCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`partitions`: those that its tasks may use (none given: `default`); the first is for tasks that name none.

    `ttl`: seconds from now after which it is deleted with all that is in it, whatever its state (1 s to 10 years; none given:
    never). `close_when_done`: it is closed as soon as it has tasks and all of them have ended; running one of them again opens
    it until that has ended.
    """

    partitions: Annotated[list[PartitionName], msgspec.Meta(max_length=64)] = []
    options: Options = Options()
    name: Label = ""
    ttl: Annotated[float, msgspec.Meta(ge=1, le=315_360_000)] | None = None
    close_when_done: bool = False


class SessionRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names a session."""

    session: UUID


class SessionGet(SessionRef, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`counts`: with its tasks counted by where they stand, which reads all of them."""

    counts: bool = False


class SessionStop(SessionRef, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Ends submission by clients, by workers (subtasks), or both; it cannot be opened again."""

    client: bool = False
    worker: bool = False


class SessionList(Page, frozen=True, forbid_unknown_fields=True):
    """Newest first, or as `sort` says. `status`: only those in this state; `where`: only those that fit (see `filters`)."""

    status: str = ""
    where: Where = msgspec.field(default_factory=list)
    sort: Sort = ""


class Counts(msgspec.Struct, frozen=True):
    """Tasks of a session by where they stand. `running` counts only those known to run for 100 ms or more.

    `unplaced`: of those waiting, the ready ones whose function no live worker of their partition has, by function; the 20 with
    the most tasks, and at most so many tasks.
    """

    total: int = 0
    waiting: int = 0
    queued: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    unplaced: dict[str, int] = {}


class Session(msgspec.Struct, frozen=True):
    """Times are RFC 3339. `version` grows with every change, so that a reader can order repeats.

    `operation`: the chain that purges or deletes it at the moment, if there is one.
    """

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
    cancelled_at: str | None = None
    purged_at: str | None = None
    expires_at: str | None = None
    operation: str = ""
    close_when_done: bool = False


class SessionPage(msgspec.Struct, frozen=True):
    """A page of sessions. `next`: the token of the next page, empty on the last one."""

    items: list[Session]
    next: str = ""
