"""The states of a session's tasks and results, many in one message: what a watch begins with."""

from typing import Annotated
from uuid import UUID

import msgspec

Few = Annotated[list[UUID], msgspec.Meta(max_length=1000)]
"""Ids that are asked for one by one."""


class StatesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """All tasks and results of a session, page by page; or, if `tasks` or `results` are named, just these, on one page."""

    session: UUID
    token: Annotated[str, msgspec.Meta(max_length=40)] = ""
    tasks: Few | None = None
    results: Few | None = None


class States(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ids by state, at most 8,000 a page, none on two pages. Ids that are not of this session are left out."""

    session: UUID
    tasks: dict[str, list[UUID]] = {}
    results: dict[str, list[UUID]] = {}
    next: str = ""
