"""Asking a service, as a user or for oneself.

    found = await ask(bus, DATASET_GET, DatasetRef(pid), context)

The reply's type follows from the endpoint. For whom it asks is signed in a header (`middleware/identity.py`); a refusal of the other
side is raised here as the error that it was there.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from shared.bus.client import Bus
from shared.contracts import headers as h
from shared.contracts.endpoint import Endpoint
from shared.contracts.errors import Unauthenticated, Unavailable
from shared.runtime.log import log
from shared.service.context import Context
from shared.service.middleware.identity import headers_of

Request = TypeVar("Request")
Reply = TypeVar("Reply")
T = TypeVar("T")


async def ask(
    bus: Bus,
    endpoint: Endpoint[Request, Reply],
    message: Request,
    context: Context | None = None,
    *,
    site: str = "",
    grant: str = "",
    key: str = "",
    headers: Mapping[str, str] | None = None,
    timeout: float = 5.0,
) -> Reply:
    """The endpoint's reply to `message`.

    context   who asks; None: this process itself
    site      whose broker is asked, where the endpoint is one of a site's
    grant     a delegation that this process was given; instead of `context`
    key       the idempotency key: the same from the same user acts once
    headers   what the request says beside its body
    timeout   seconds

    Raises what the service refuses with; Unavailable if nobody answers, TimedOut if nobody does in time.
    """
    subject = endpoint.subject_at(site)
    signed = {h.DELEGATION: grant} if grant else headers_of(context, bus.delegations, subject)
    return await _asked(bus, subject, message, endpoint.reply, _sent(signed, key, headers), timeout)


async def ask_raw(
    bus: Bus,
    endpoint: Endpoint[Request, Reply],
    message: Request,
    context: Context | None = None,
    *,
    key: str = "",
    headers: Mapping[str, str] | None = None,
    timeout: float = 5.0,
) -> bytes:
    """Like `ask`; the reply as the bytes that it came in, to be passed on."""
    signed = headers_of(context, bus.delegations, endpoint.subject)
    sent = _sent(signed, key, headers)
    return bytes(await _asked(bus, endpoint.subject, message, msgspec.Raw, sent, timeout))


async def _asked(bus: Bus, subject: str, message: Any, reply: type[T], sent: dict[str, str], timeout: float) -> T:
    """The reply. That the other side does not believe us is no fault of the user's, and passes: Unavailable."""
    try:
        return await bus.request(subject, message, reply, timeout=timeout, headers=sent)
    except Unauthenticated as error:
        log.error("delegation.refused", subject=subject, why=error.message)
        raise Unavailable(f"{subject} does not believe who asks: {error.message}") from None


def _sent(signed: dict[str, str], key: str, more: Mapping[str, str] | None) -> dict[str, str]:
    if key:
        signed[h.IDEMPOTENCY_KEY] = key
    return {**signed, **more} if more else signed
