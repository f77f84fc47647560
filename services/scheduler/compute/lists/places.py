"""Where a page of a list ended: what the token of the next one holds. What it says is checked, whoever made it."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from shared.contracts.paging import Page
from shared.service.paging import no_token, place_of


class Place(msgspec.Struct, frozen=True, array_like=True):
    """`key`: what the last item was sorted by, as PostgreSQL writes it; empty, if that is the id. `last`: its id."""

    key: str
    last: UUID


def read(asked: Page, type: str) -> Place | None:
    """Where the last page ended; None at the beginning. `type`: the SQL type of what the list is sorted by."""
    place: Place | None = place_of(asked, Place)
    if place is not None and not _TYPES[type](place.key):
        raise no_token()
    return place


def _is_time(text: str) -> bool:
    try:
        return text == "infinity" or datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is_id(text: str) -> bool:
    try:
        return not text or str(UUID(text)) == text
    except ValueError:
        return False


def _is_state(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,4}", text, re.ASCII) is not None


def _is_number(text: str) -> bool:
    return text == "Infinity" or re.fullmatch(r"-?[0-9]{1,40}(\.[0-9]{1,40})?", text, re.ASCII) is not None


_TYPES: Final[dict[str, Callable[[str], bool]]] = {
    "text": lambda text: True,
    "numeric": _is_number,
    "timestamptz": _is_time,
    "uuid": _is_id,
    "smallint": _is_state,
    "boolean": lambda text: text in ("true", "false"),
}
