"""What every list takes: a filter by state, and the token of a page. And where a page ends."""

from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from shared.contracts.errors import Invalid

T = TypeVar("T", bound=msgspec.Struct)
ROOM = 700 * 1024
"""Bytes of a page's items: a reply is one message, of 1 MiB at most."""


def fitting(items: Sequence[T], size: int, room: int = ROOM) -> tuple[list[T], bool]:
    """The first `size` items, or those of them that fit into a reply (one at least); and whether there are more."""
    page: list[T] = []
    for item in items[:size]:
        room -= len(msgspec.json.encode(item)) + 1
        if page and room < 0:
            break
        page.append(item)
    return page, len(items) > len(page)


def parse_status(kind: Any, text: str) -> int | None:
    """A state given by name as a filter; None if none was given."""
    if not text:
        return None
    try:
        return int(kind[text.upper()])
    except KeyError:
        known = ", ".join(state.name.lower() for state in kind)
        raise Invalid(f"{text!r} is not one of: {known}", field="status") from None


def parse_token(text: str) -> UUID | None:
    """The id that a page token names."""
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise Invalid("not a token that a page gave", field="token") from None
