"""Work that takes long, in one shape whatever it does: the operation, after Google's AIP-151. Version 1.

Each service that has any answers for its own (endpoints/operations.py). Each change is published on `hr.evt.operation.changed.<operation>` with the operation as it is then. Who shows what:

| service   | kind       | what goes on                                                  | id                                     |
|-----------|------------|---------------------------------------------------------------|----------------------------------------|
| archiver  | `upload`   | uploaded files are checked and packed into datablocks         | its own, in the event                  |
| archiver  | `archive`  | datablocks are copied to long-term storage and read back      | the job's                              |
| archiver  | `repair`   | damaged datablocks are packed and copied again                | the job's                              |
| archiver  | `abandon`  | the bytes of an abandoned dataset are removed                 | its own, in the event                  |
| archiver  | `retrieve` | until the retriever has taken a retrieve job over             | the job's                              |
| retriever | `retrieve` | datablocks are brought back from long-term storage            | the retrieval's, which is the job's too |
| scheduler | `purge`    | a session's values are deleted                                | `operation` of the session             |
| scheduler | `delete`   | a session is cancelled, its values and rows are deleted       | `operation` of the session             |

An operation can be looked at for 30 days after it has ended.
"""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

from shared.contracts.errors import ErrorBody
from shared.contracts.paging import Page

VERSION: Final = 1
SERVICES: Final = ("archiver", "retriever", "scheduler")
"""Those that have operations. A retrieve operation leaves the archiver when the retriever has it: who asks in this order finds it."""

OperationState = Literal["running", "cancelling", "failing", "succeeded", "failed", "cancelled"]
"""`cancelling`, `failing`: what was done is being undone. The last three are the ends."""


class Amount(msgspec.Struct, frozen=True, omit_defaults=True):
    """How much of something is done. `total`: None while nobody knows."""

    done: int
    total: int | None = None


class OperationMetadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an operation does, and how far it is.

    kind         what it does, such as `archive`
    target       what it is done to: `datasets/<pid>`, `sessions/<session>`
    owner        the user whose it is
    state        see OperationState
    step         the step of its chain where it is, or where it ended
    message      while it runs: what it waits for, or why its last try failed
    progress     amounts by unit: `datablocks`, `bytes`, `files`, `results`, `tasks`, `objects`; counted, never estimated
    cancellable  whether a cancel would be accepted now
    version      grows with every change, so that a reader can order repeats

    Times are RFC 3339.
    """

    kind: str
    target: str
    owner: str
    state: OperationState
    step: str
    created_at: str
    updated_at: str
    version: int
    ended_at: str | None = None
    message: str = ""
    progress: dict[str, Amount] = {}
    cancellable: bool = False


class Operation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Long work. `name`: `operations/<id>`. Once it is `done` it has either an `error` or a `result`, never both.

    `error`: code `failed_precondition` (what the user gave is wrong), `internal` (our fault), or `cancelled`. `result`: what the same request
    would have answered had it waited, as JSON: the job, the retrieval or the session; `{}` if that would have been nothing.
    """

    name: str
    metadata: OperationMetadata
    done: bool
    error: ErrorBody | None = None
    result: Any = None


class OperationRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`operation`: the id, which is its name without `operations/`."""

    operation: UUID


class OperationWait(OperationRef, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Answers when the operation has ended, and after `timeout` seconds with the operation as it is then."""

    timeout: Annotated[float, msgspec.Meta(ge=0, le=30)] = 20


class OperationList(Page, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Newest first. `kind`, `target`: only such; `active`: only those that have not ended."""

    kind: Annotated[str, msgspec.Meta(max_length=64)] = ""
    target: Annotated[str, msgspec.Meta(max_length=400)] = ""
    active: bool = False


class OperationPage(msgspec.Struct, frozen=True):
    """A page of operations. `next`: the token of the next page, empty on the last one."""

    items: list[Operation]
    next: str = ""


def operation_name(id: UUID) -> str:
    """`operations/<id>`"""
    return f"operations/{id}"


def operation_place(operation: Operation) -> tuple[str, UUID]:
    """Where an operation stands in a list, which begins with the greatest: when it was made, then its id."""
    return operation.metadata.created_at, operation_id(operation)


def operation_id(operation: Operation) -> UUID:
    """The id that an operation's name ends with."""
    return UUID(operation.name.removeprefix("operations/"))
