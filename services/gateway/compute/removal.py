"""Purging and deleting a session: the scheduler's chain is waited for, as long as a client may be kept waiting."""

import asyncio
import time
from typing import Any

import msgspec

from shared.bus.client import Bus
from shared.contracts.compute import Session, SessionGet, SessionRef
from shared.contracts.endpoint import Endpoint
from shared.contracts.endpoints.compute import SESSION_DELETE, SESSION_GET, SESSION_PURGE
from shared.contracts.errors import NotFound
from shared.contracts.states import SessionStatus, name_of
from shared.runtime.retry import Backoff
from shared.service.ask import ask
from shared.service.context import Context

PATIENCE = 30.0
"""Seconds that a client waits at most; then it gets the session as it is, whose `operation` is the chain that goes on."""
_BACKOFF = Backoff(first=0.05, ceiling=1)


async def purge(bus: Bus, context: Context, session: SessionRef, key: str = "") -> tuple[Session, bool]:
    """Deletes the values of a session. Returns it, and whether it is PURGED already. `key`: the idempotency key."""
    return await _until(bus, context, SESSION_PURGE, session, SessionStatus.PURGED, key)


async def delete(bus: Bus, context: Context, session: SessionRef, key: str = "") -> tuple[Session, bool]:
    """Deletes a session. Returns it as it was, and whether it is DELETED already. `key`: the idempotency key."""
    return await _until(bus, context, SESSION_DELETE, session, SessionStatus.DELETED, key)


async def _until(
    bus: Bus, context: Context, endpoint: Endpoint[Any, Session], ref: SessionRef, end: SessionStatus, key: str
) -> tuple[Session, bool]:
    found = await ask(bus, endpoint, ref, context, key=key, timeout=30)
    began, tries = time.monotonic(), 0
    while found.status != name_of(end):
        if time.monotonic() - began > PATIENCE:
            return found, False
        await asyncio.sleep(_BACKOFF.delay(tries))
        tries += 1
        try:
            found = await ask(bus, SESSION_GET, SessionGet(ref.session), context, timeout=10)
        except NotFound:
            if end is not SessionStatus.DELETED:
                raise
            found = msgspec.structs.replace(found, status=name_of(end), operation="")
    return found, True
