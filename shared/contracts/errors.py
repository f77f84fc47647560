"""Every error that one part of Headrace hands to another, or to a user.

    HeadraceError
    ├── Invalid               invalid_argument     400   the request is wrong; `field` says where
    ├── Unauthenticated       unauthenticated      401   no token, or one that is unknown or revoked
    ├── Forbidden             permission_denied    403   the token's owner may not do this
    ├── NotFound              not_found            404   no such session, task, …
    ├── Conflict              failed_precondition  409   the thing is in a state that does not allow it; names both states
    ├── AlreadyExists         already_exists       409   the same id or key with other content
    ├── TooLarge              too_large            413   over a limit that the message names
    ├── RateLimited           resource_exhausted   429   later, please                                       (retryable)
    ├── Internal              internal             500   our fault; the detail is in the log, under the trace (retryable)
    ├── Unavailable           unavailable          503   a server that we need is away                        (retryable)
    ├── TimedOut              deadline_exceeded    504   no answer in time                                    (retryable)
    └── NoRoom                no_room              507   the storage is full, or nearly                       (retryable)

The code is stable and travels; the class is found again by it on the other side.
"""

from typing import ClassVar

import msgspec


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error on the wire. `field`: a path such as `tasks[3].inputs[0]`. `trace`: the id to search the logs for."""

    code: str
    message: str
    field: str = ""
    trace: str = ""


class HeadraceError(Exception):
    """Something went wrong in Headrace."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "", *, field: str = "", retry_after: int = 1) -> None:
        """`retry_after`: seconds after which another try makes sense, if the error is retryable."""
        self.message = message or (self.__doc__ or "").strip()
        self.field, self.retry_after = field, retry_after
        super().__init__(self.message)

    def body(self, trace: str = "") -> ErrorBody:
        """The error as it travels. `trace`: the id under which the logs have the detail."""
        return ErrorBody(self.code, self.message, self.field, trace)


class Invalid(HeadraceError):
    """The request is not valid."""

    code, status = "invalid_argument", 400


class Unauthenticated(HeadraceError):
    """A valid bearer token is needed."""

    code, status = "unauthenticated", 401


class Forbidden(HeadraceError):
    """The caller may not do this."""

    code, status = "permission_denied", 403


class NotFound(HeadraceError):
    """There is no such thing."""

    code, status = "not_found", 404


class Conflict(HeadraceError):
    """The state does not allow this."""

    code, status = "failed_precondition", 409


class AlreadyExists(HeadraceError):
    """This exists already, with other content."""

    code, status = "already_exists", 409


class TooLarge(HeadraceError):
    """This is larger than allowed."""

    code, status = "too_large", 413


class RateLimited(HeadraceError):
    """Too much at once; try again later."""

    code, status, retryable = "resource_exhausted", 429, True


class Internal(HeadraceError):
    """An internal error; the log has the detail under the same trace."""

    code, status, retryable = "internal", 500, True


class Unavailable(HeadraceError):
    """A server that is needed for this is away."""

    code, status, retryable = "unavailable", 503, True


class TimedOut(HeadraceError):
    """No answer in time."""

    code, status, retryable = "deadline_exceeded", 504, True


class NoRoom(HeadraceError):
    """There is not enough room in storage."""

    code, status, retryable = "no_room", 507, True


class Unreadable(Unavailable):
    """One object cannot be read, though its storage is there. To others it looks as if the storage were away."""


BY_CODE: dict[str, type[HeadraceError]] = {cls.code: cls for cls in HeadraceError.__subclasses__()}
"""The class of each code."""


def from_body(body: ErrorBody) -> HeadraceError:
    """The error that the other side raised; an unknown code becomes `Internal`."""
    return BY_CODE.get(body.code, Internal)(body.message, field=body.field)
