"""Who may see and change a session, a dataset, a retrieval: its owner, and the admin. To others it does not exist."""

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from shared.contracts.errors import NotFound
from shared.service.context import Context

R = TypeVar("R", bound=Mapping[str, Any])


def owned(ctx: Context, row: R | None, missing: NotFound) -> R:
    """The row, if there is one and the asker may see it; otherwise `missing` is raised: both cases have the same answer.

    `row` has a column `owner`.
    """
    if row is None or (row["owner"] != ctx.user and not ctx.is_admin):
        raise missing
    return row


def check_owner(ctx: Context, row: Mapping[str, Any], id: UUID, what: str = "session") -> None:
    """NotFound if the row is not the asker's, in the words in which an id that nobody has is refused: whether it is taken is nobody
    else's business. `what`: the field that has the id, and what it is of."""
    if row["owner"] != ctx.user and not ctx.is_admin:
        raise NotFound(f"there is no {what} {id}", field=what)
