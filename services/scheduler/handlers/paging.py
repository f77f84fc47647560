"""What every list takes: a filter by state, and the token of a page."""

from typing import Any
from uuid import UUID

from shared.contracts.errors import Invalid


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
