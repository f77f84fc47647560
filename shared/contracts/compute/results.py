"""Results: metadata, and where values lie."""

from typing import Annotated
from uuid import UUID

import msgspec

from shared.contracts.compute.filters import Sort, Where
from shared.contracts.compute.options import Label
from shared.contracts.paging import Page

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
"""A SHA-256 in hex, lower case."""
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
"""Where an object lies in object storage."""
Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""Bytes."""


class NewResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A result to create. With `data` (base64 in JSON, at most 16 KiB) or `object` it is complete at once.

    `id`: the caller's own UUID, which makes a repeat harmless. `object`: the key of an object already stored, with `size`.
    `sha256`: of the value; data that hash to another are refused.
    """

    name: Label = ""
    id: UUID | None = None
    data: bytes | None = None
    object: str | None = None
    size: Size = 0
    sha256: Sha256 | None = None


class ResultCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Creates results in a session."""

    session: UUID
    results: Annotated[list[NewResult], msgspec.Meta(min_length=1, max_length=1000)]


class ResultComplete(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Gives a created result its value: `data` inline, or the key of an `object` already stored.

    `sha256`: of the value; data that hash to another are refused.
    """

    result: UUID
    data: bytes | None = None
    object: str | None = None
    size: Size = 0
    sha256: Sha256 | None = None


class Import(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An object that is there already, under its key, as the value of a created result."""

    result: UUID
    object: Key


class ResultImport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Completes results with objects that somebody else has stored, all or none. The objects stay their owner's.

    Keys have to lie under a prefix that the operator allows; the objects have to exist. The reply has the same order.
    """

    session: UUID
    objects: Annotated[list[Import], msgspec.Meta(min_length=1, max_length=1000)]


class ResultDelete(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Deletes the values of these results, all or none; the results stay, as deleted. Repeating it is harmless.

    Refused while a task that has not ended needs one of them. A created one, which somebody was to upload, will never
    have a value then: what waits for it fails.
    """

    session: UUID
    results: Annotated[list[UUID], msgspec.Meta(min_length=1, max_length=1000)]


class ResultWait(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Answers when all of these results (`any`: one of them) have ended, or after `timeout` seconds."""

    results: Annotated[list[UUID], msgspec.Meta(min_length=1, max_length=1000)]
    any: bool = False
    timeout: Annotated[float, msgspec.Meta(ge=0, le=30)] = 30


class ResultWaited(msgspec.Struct, frozen=True):
    """`done`: what was waited for is so. `states` by result; `open`: those still created, in the order asked for."""

    done: bool
    states: dict[UUID, str]
    open: list[UUID]


class ResultAbort(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The values of these results will never come: what waits for them fails, with the reason."""

    session: UUID
    results: Annotated[list[UUID], msgspec.Meta(min_length=1, max_length=1000)]
    reason: Annotated[str, msgspec.Meta(max_length=2000)] = ""


class ResultRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names a result."""

    result: UUID


class ResultQuery(Page, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The results of a session: those that fit (see `filters`), in the order of their ids or as `sort` says.

    `name`: so called, exactly. `ids`: just these (at most 1,000), whatever else is given.
    """

    session: UUID
    status: str = ""
    name: Label = ""
    where: Where = msgspec.field(default_factory=list)
    sort: Sort = ""
    ids: Annotated[list[UUID], msgspec.Meta(max_length=1000)] | None = None


class Result(msgspec.Struct, frozen=True):
    """`opaque`: where its value lies, `inline:<id>` or an object's key; empty until it is complete. `size` in bytes.

    `checksum`: the SHA-256 of its value in hex; empty where whoever stored it did not say. `owned`: the object goes with
    the result; that of an imported one does not.
    """

    id: UUID
    session: UUID
    name: str
    status: str
    owner_task: UUID | None
    opaque: str
    size: int
    created_at: str
    completed_at: str | None
    checksum: str = ""
    owned: bool = True


class ResultList(msgspec.Struct, frozen=True):
    """Results, in the order in which they were named."""

    results: list[Result]


class ResultPage(msgspec.Struct, frozen=True):
    """A page of results. `next`: the token of the next page, empty on the last one."""

    items: list[Result]
    next: str = ""


class Value(msgspec.Struct, frozen=True, omit_defaults=True):
    """A result's value: `data` itself, or the key of the `object` that holds it.

    `checksum` as in Result, where the value was asked for by itself.
    """

    id: UUID
    size: int
    data: bytes | None = None
    object: str | None = None
    checksum: str = ""
