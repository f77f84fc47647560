"""Errors as RFC 9457 problem details, `application/problem+json`: the form of every domain that has none of its own.

`{type, title, status, detail, code, field, trace}`: `code` is the stable name of the error's class, `field` the place in the
request that is wrong (`tasks[3].inputs[0]`), `trace` what to search the logs for.
"""

from collections.abc import Iterable

import msgspec

from services.gateway.http.reply import Reply
from shared.contracts.errors import HeadraceError, Invalid
from shared.service import decode

MEDIA_TYPE = "application/problem+json"


class MethodNotAllowed(HeadraceError):
    """This address does not take that method."""

    code, status = "method_not_allowed", 405

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        """`allowed`: the methods that it does take."""
        self.allow = ", ".join(sorted(allowed))
        super().__init__(f"this address takes {self.allow}" if self.allow else "")


class UnsupportedMedia(HeadraceError):
    """The body is of a media type that is not taken here."""

    code, status = "unsupported_media_type", 415


class Unsatisfiable(HeadraceError):
    """The range asked for lies outside of the value."""

    code, status = "range_not_satisfiable", 416


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The document that an error is answered with."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str = ""
    trace: str = ""


def problem(error: HeadraceError, trace: str) -> Problem:
    """The document of an error. `trace`: the id of the request's trace, empty if it has none."""
    title = (type(error).__doc__ or "").strip().rstrip(".")
    kind = f"urn:headrace:error:{error.code}"
    return Problem(kind, title, error.status, error.message, error.code, error.field, trace)


def headers(error: HeadraceError) -> dict[str, str]:
    """The headers that the error's status demands beside the body."""
    if isinstance(error, MethodNotAllowed):
        return {"Allow": error.allow}
    if error.status == 401:
        return {"WWW-Authenticate": 'Bearer realm="headrace"'}
    if error.status in (429, 503, 507):
        return {"Retry-After": str(error.retry_after)}
    return {}


def problem_reply(error: HeadraceError, trace: str) -> Reply:
    """An error as the whole answer."""
    return Reply(problem(error, trace), error.status, media_type=MEDIA_TYPE, headers=headers(error))


def invalid(error: Exception, where: str) -> Invalid:
    """What msgspec found (one of `decode.MALFORMED`), with the field that it names; `where` if it names none."""
    found = decode.invalid(error)
    return Invalid(found.message, field=found.field or where)
