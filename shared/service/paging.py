"""Pages of a list: the token of the next page, the size of a page in bytes, and a filter by state."""

import hashlib
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from shared.contracts.errors import Invalid
from shared.service.decode import nul

T = TypeVar("T", bound=msgspec.Struct)
_CHECK = 9
"""Bytes of a token that say of which list it is."""
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
    """The number of a state given by its name, in any case; None for an empty text. Invalid for an unknown name."""
    if not text:
        return None
    try:
        return int(kind[text.upper()])
    except KeyError:
        known = ", ".join(state.name.lower() for state in kind)
        raise Invalid(f"{text!r} is not one of: {known}", field="status") from None


def parse_token(text: str) -> UUID | None:
    """The id that a page token is; None for an empty token. Invalid if it is no UUID as we write them."""
    if not text:
        return None
    try:
        found = UUID(text)
    except ValueError:
        found = None
    if str(found) != text:
        raise no_token()
    return found


def no_token() -> Invalid:
    """The error for a token that no page of the list gave."""
    return Invalid("not a token that a page of this list gave: filter and order have to be the same", field="token")


def token_of(asked: Any, place: Any) -> str:
    """The token of the page behind `place` of the list that `asked` asks for: a Struct with `size` and `token`."""
    body = msgspec.json.encode(place)
    return urlsafe_b64encode(_check(asked, body) + body).decode().rstrip("=")


def place_of(asked: Any, kind: Any) -> Any:
    """Where the page before ended, as a `kind`; None for the first page.

    Invalid, if the token is not what a page of this list gave: of the same session, filter and order.
    """
    if not asked.token:
        return None
    try:
        whole = b64decode(asked.token + "=" * (-len(asked.token) % 4), altchars=b"-_", validate=True)
        check, body = whole[:_CHECK], whole[_CHECK:]
        if check != _check(asked, body):
            raise no_token()
        found = msgspec.json.decode(body, type=kind)
    except (ValueError, msgspec.MsgspecError):
        raise no_token() from None
    if nul(found) is not None:
        raise no_token()
    return found


def _check(asked: Any, body: bytes) -> bytes:
    """A digest of which list it is, and of the place in it."""
    about = msgspec.json.encode(msgspec.structs.replace(asked, token="", size=1))
    return hashlib.sha256(b"%b\0%b\0%b" % (type(asked).__name__.encode(), about, body)).digest()[:_CHECK]
