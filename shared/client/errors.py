"""What a call of the client can end with, other than its result.

ClientError
├── UsageError                  called wrongly, or a setting is missing: nothing was asked
├── UnreachableError            nobody answers at the address, or has answered for too long
├── FailedError                 the work that was waited for failed, or what arrived is not what was sent
└── RefusedError                the server answered with an error
    ├── InvalidError      400   the request is not valid; `problem["field"]` names the place
    ├── ForbiddenError    401, 403   the token is not known, or may not do this
    ├── NotFoundError     404   there is no such thing
    ├── ConflictError     409   its state does not allow this, or it exists already with other content
    ├── TooLargeError     413   over a limit that the message names
    └── UnavailableError  429, 5xx   not now: what may be repeated was repeated first
"""

from typing import Any, ClassVar, Final


class ClientError(Exception):
    """Anything that the client raises."""

    def problem_details(self) -> dict[str, Any]:
        """The problem document of the reply (RFC 9457); status and detail at least."""
        """The error as a JSON document, as RFC 9457 names its fields."""
        return {"detail": str(self)}


class UsageError(ClientError):
    """Called wrongly, or a setting is missing."""


class UnreachableError(ClientError):
    """Nobody answers at the address."""


class FailedError(ClientError):
    """The work that was waited for failed."""


class RefusedError(ClientError):
    """The server answered with an error.

    `status`: of HTTP; `problem`: the problem details that came (RFC 9457); `repeated`: the request had been sent before, and
    that reply was lost or was that a service is away.
    """

    statuses: ClassVar[tuple[int, ...]] = ()
    repeated = False

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status, self.problem = status, problem
        super().__init__(problem.get("detail") or f"the server answered {status}")

    @property
    def code(self) -> str:
        """The stable name of the error, such as `failed_precondition` (shared/contracts/errors.py); empty if none came."""
        return str(self.problem.get("code", ""))

    def problem_details(self) -> dict[str, Any]:
        return {"status": self.status, "detail": str(self)} | self.problem


class InvalidError(RefusedError):
    """The request is not valid."""

    statuses = (400, 405, 415, 422)


class ForbiddenError(RefusedError):
    """The token is not known, or may not do this."""

    statuses = (401, 403)


class NotFoundError(RefusedError):
    """There is no such thing."""

    statuses = (404,)


class ConflictError(RefusedError):
    """Its state does not allow this, or it exists already with other content."""

    statuses = (409,)


class TooLargeError(RefusedError):
    """Over a limit that the message names."""

    statuses = (413,)


class UnavailableError(RefusedError):
    """Not now: a service or a storage is away, full, or has too much to do."""

    statuses = (429, 500, 502, 503, 504, 507)


_BY_STATUS: Final = {status: kind for kind in RefusedError.__subclasses__() for status in kind.statuses}


def refused(status: int, problem: Any) -> RefusedError:
    """The error for an HTTP status. `problem`: the decoded body; anything but an object counts as none."""
    return _BY_STATUS.get(status, RefusedError)(status, problem if isinstance(problem, dict) else {})
