"""Who may see and touch a session, a dataset: its owner, and operators."""

from collections.abc import Mapping
from typing import Any, TypeVar

from shared.contracts.errors import NotFound
from shared.service.context import Context

R = TypeVar("R", bound=Mapping[str, Any])


def owned(ctx: Context, row: R | None, missing: NotFound) -> R:
    """The row, if there is one and the asker may see it; otherwise `missing`: both have the same answer."""
    if row is None or (row["owner"] != ctx.user and not ctx.is_admin):
        raise missing
    return row


def check(ctx: Context, row: Mapping[str, Any], what: str = "session") -> None:
    """To others it does not exist: whether an id is taken is nobody else's business."""
    if row["owner"] != ctx.user and not ctx.is_admin:
        raise NotFound(f"there is no such {what}", field=what)
