"""Results: metadata, and where values lie."""

from typing import Annotated
from uuid import UUID

import msgspec

from shared.contracts.compute.filters import Sort, Where
from shared.contracts.compute.options import Label
from shared.contracts.paging import Page


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
    """The results of a session: those that fit (see `filters`), in the order of their ids or as `sort` says.

    `ids`: just these (at most 1,000), whatever else is said.
    """

    session: UUID
    status: str = ""
    where: Where = msgspec.field(default_factory=list)
    sort: Sort = ""
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
