"""Asking a service, as a user or for oneself.

    found = await ask(bus, DATASET_GET, DatasetRef(pid), context)

The reply's type follows from the endpoint. Who asks travels in headers (`middleware/identity.py`); a refusal of the other side is
raised here as the error that it was there.
"""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from shared.bus.client import Bus
from shared.contracts import headers as h
from shared.contracts.endpoint import Endpoint
from shared.service.context import Context
from shared.service.middleware.identity import headers_of

Request = TypeVar("Request")
Reply = TypeVar("Reply")


async def ask(
    bus: Bus,
    endpoint: Endpoint[Request, Reply],
    message: Request,
    context: Context | None = None,
    *,
    site: str = "",
    key: str = "",
    headers: Mapping[str, str] | None = None,
    timeout: float = 5.0,
) -> Reply:
    """The endpoint's reply to `message`.

    context   who asks; None: this process itself
    site      whose broker is asked, where the endpoint is one of a site's
    key       the idempotency key: the same from the same user acts once
    headers   what the request says beside its body
    timeout   seconds

    Raises what the service refuses with; Unavailable if nobody answers, TimedOut if nobody does in time.
    """
    sent = _headers(bus, context, key, headers)
    return await bus.request(endpoint.subject_at(site), message, endpoint.reply, timeout=timeout, headers=sent)


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
    sent = _headers(bus, context, key, headers)
    return bytes(await bus.request(endpoint.subject, message, msgspec.Raw, timeout=timeout, headers=sent))


def _headers(bus: Bus, context: Context | None, key: str, more: Mapping[str, str] | None) -> dict[str, str]:
    sent = headers_of(context, bus.name) if context is not None else {}
    if key:
        sent[h.IDEMPOTENCY_KEY] = key
    return {**sent, **more} if more else sent
