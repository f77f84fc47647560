"""Who may see and change a session, a dataset, a retrieval: its owner, and the admin. To others it does not exist."""

from collections.abc import Mapping
from typing import Any, TypeVar

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


def check_owner(ctx: Context, row: Mapping[str, Any], what: str = "session") -> None:
    """NotFound, naming the field `what`, if the row is not the asker's: whether an id is taken is nobody else's business."""
    if row["owner"] != ctx.user and not ctx.is_admin:
        raise NotFound(f"there is no such {what}", field=what)
