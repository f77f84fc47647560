"""Who asks, for what, in which trace: what a handler knows beside the request."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from shared.bus import trace
from shared.contracts import headers as h
from shared.contracts.errors import Invalid

OPERATORS = frozenset({"admin"})
"""Users who may see and touch what others own. Who may be called so is the gateway's and the NATS permissions' matter."""


class Context(msgspec.Struct, frozen=True):
    """`key`: the idempotency key, empty if there is none. `durable`: it came as a command, not as a request."""

    subject: str
    user: str
    headers: Mapping[str, str]
    trace: str
    key: str = ""
    durable: bool = False

    @property
    def is_operator(self) -> bool:
        return self.user in OPERATORS


Handler = Callable[[Context, bytes], Awaitable[bytes]]
Middleware = Callable[[Handler], Handler]


LONGEST_KEY = 255


def _checked(headers: Mapping[str, str] | None) -> Mapping[str, str]:
    """Invalid if they cannot be read, or if the idempotency key is no key: without it the request would act twice."""
    found = headers or {}
    if why := found.get(h.UNREADABLE):
        raise Invalid(why, field="headers")
    key = found.get(h.IDEMPOTENCY_KEY, "")
    if len(key) > LONGEST_KEY or not (key.isprintable() and "\ufffd" not in key):
        raise Invalid(f"at most {LONGEST_KEY} characters, all of them printable", field=h.IDEMPOTENCY_KEY)
    return found


def of_request(subject: str, headers: Mapping[str, str] | None) -> Context:
    """The context of a request: only services may publish on `hr.rpc`, so the user header is theirs to say.

    Invalid if the headers cannot be used.
    """
    found = _checked(headers)
    return Context(
        subject,
        found.get(h.USER, ""),
        found,
        trace.accept(found.get(h.TRACE)),
        found.get(h.IDEMPOTENCY_KEY, ""),
    )


def of_command(subject: str, headers: Mapping[str, str] | None, sequence: str) -> Context:
    """The context of a command: the user is the subject's token, which NATS's permissions bind to the publisher.

    Without a key of its own, the message's place in the stream is the key: delivered twice, it acts once. Invalid if the
    headers cannot be used.
    """
    found = _checked(headers)
    user = subject.split(".")[2]
    key = found.get(h.IDEMPOTENCY_KEY, "") or f"command:{sequence}"
    return Context(subject, user, found, trace.accept(found.get(h.TRACE)), key, durable=True)
