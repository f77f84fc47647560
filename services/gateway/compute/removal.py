"""Purging and deleting: the scheduler's chain is waited for, as long as a client may be kept waiting."""

import asyncio
import time

import msgspec

from services.gateway.http.reply import Reply
from services.gateway.http.request import Call
from shared.contracts import headers as h
from shared.contracts.compute import Session, SessionRef
from shared.contracts.errors import NotFound
from shared.contracts.states import SessionStatus, name_of
from shared.runtime.retry import Backoff

PATIENCE = 30.0
"""Seconds after which the answer is 202, with the session as it is; its `operation` is the chain that goes on."""
_BACKOFF = Backoff(first=0.05, ceiling=1)


async def purge(call: Call) -> Reply:
    """POST /compute/v1/sessions/{session}/purge: the session, PURGED."""
    return await _until(call, "session.purge", SessionStatus.PURGED)


async def delete(call: Call) -> Reply:
    """DELETE /compute/v1/sessions/{session}: the session as it was, DELETED."""
    return await _until(call, "session.delete", SessionStatus.DELETED)


async def _until(call: Call, action: str, wanted: SessionStatus) -> Reply:
    asked = SessionRef(call.uuid("session"))
    headers = {h.IDEMPOTENCY_KEY: key} if (key := call.key) else None
    found = await call.scheduler(action, asked, Session, headers=headers)
    began, tries = time.monotonic(), 0
    while found.status != name_of(wanted):
        if time.monotonic() - began > PATIENCE:
            return Reply(msgspec.json.encode(found), 202)
        await asyncio.sleep(_BACKOFF.delay(tries))
        tries += 1
        try:
            found = await call.scheduler("session.get", asked, Session, timeout=10)
        except NotFound:
            if wanted is not SessionStatus.DELETED:
                raise
            found = msgspec.structs.replace(found, status=name_of(wanted), operation="")
    return Reply(msgspec.json.encode(found))
