"""Errors as RFC 9457 problem details, `application/problem+json`.

`{type, title, status, detail, code, field, trace}`: `code` is the stable name of the error's class, `field` the place in the
request that is wrong (`tasks[3].inputs[0]`), `trace` what to search the logs for.
"""

import re

import msgspec

from shared.contracts.errors import (
    Conflict,
    Forbidden,
    HeadraceError,
    Internal,
    Invalid,
    NotFound,
    RateLimited,
    TimedOut,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from shared.contracts.examples import with_example

MEDIA_TYPE = "application/problem+json"

_BY_STATUS: dict[int, type[HeadraceError]] = {
    400: Invalid,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    429: RateLimited,
    503: Unavailable,
    504: TimedOut,
}
_NAMED = re.compile(r"(?:unknown|required) field `([^`]*)`")


class MethodNotAllowed(HeadraceError):
    """This address does not take that method."""

    code, status = "method_not_allowed", 405


class UnsupportedMedia(HeadraceError):
    """The body is of a media type that is not taken here."""

    code, status = "unsupported_media_type", 415


class Unsatisfiable(HeadraceError):
    """The range asked for lies outside of the value."""

    code, status = "range_not_satisfiable", 416


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str = ""
    trace: str = ""


def of(error: HeadraceError, trace: str) -> Problem:
    """What the caller is told."""
    title = (type(error).__doc__ or "").strip().rstrip(".")
    kind = f"urn:headrace:error:{error.code}"
    return Problem(kind, title, error.status, error.message, error.code, error.field, trace)


def headers(error: HeadraceError) -> dict[str, str]:
    """What the status demands beside the body."""
    if error.status == 401:
        return {"WWW-Authenticate": 'Bearer realm="headrace"'}
    if error.status in (429, 503):
        return {"Retry-After": "1"}
    return {}


def of_status(status: int, detail: str) -> HeadraceError:
    """The error for a status that the HTTP framework chose: unknown routes, wrong methods."""
    if status == 404:
        return NotFound("there is nothing at this address")
    if status == 405:
        return MethodNotAllowed()
    if status == 413:
        return TooLarge("the body is larger than allowed")
    kind = _BY_STATUS.get(status, Invalid if status < 500 else Internal)
    return kind(detail) if status < 500 else kind()


def invalid(error: msgspec.MsgspecError, *, where: str = "body") -> Invalid:
    """What msgspec found, with the field that it names; `where` if it names none."""
    text, _, path = str(error).partition(" - at `")
    field = path.rstrip("`").removeprefix("$").removeprefix(".")
    if named := _NAMED.search(text):
        field = f"{field}.{named[1]}".lstrip(".")
    return Invalid(with_example(text), field=field or where)


def encode(error: HeadraceError, trace: str) -> bytes:
    return msgspec.json.encode(of(error, trace))
