"""Idempotency keys: a request with a key acts once, and the stored reply is given again.

The key, the work and the reply are one transaction: what is rolled back has not used its key.
"""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from shared.contracts.errors import AlreadyExists
from shared.db.sql import Db, load
from shared.service.context import Context

Q = load(__file__, "inbox.sql")
KEPT: Final = timedelta(days=7)
"""How long a key acts once."""
MOST: Final = 5000
"""Keys that are deleted in one statement."""
FORGET_EVERY: Final = 600.0
"""Seconds between two looks for old keys."""


async def once(db: Db, context: Context, data: bytes, work: Callable[[], Awaitable[bytes]]) -> bytes:
    """The reply of `work`, or the one that it gave when this user first asked under this key.

    `db`: a connection in a transaction; `data`: the request's body. AlreadyExists if the key was used for another request.
    """
    # A command and a request may share a key: what counts is the noun and verb, not the way it came.
    operation = ".".join(context.subject.split(".")[-2:])
    owner, key, digest = context.user, context.key, hashlib.sha256(data).digest()
    if await Q.claim_key.fetchval(db, owner=owner, key=key, subject=operation, digest=digest) is None:
        seen = await Q.find_key.fetchrow(db, owner=owner, key=key)
        if seen["subject"] != operation or seen["digest"] != digest:
            raise AlreadyExists("this idempotency key was used for another request", field="Idempotency-Key")
        return bytes(seen["reply"])
    reply = await work()
    await Q.keep_reply.execute(db, owner=owner, key=key, reply=reply)
    return reply


async def forget_keys(db: Db, most: int = MOST) -> int:
    """Deletes keys that are older than `KEPT`, `most` in a statement. Returns how many."""
    forgotten = 0
    while True:
        status = await Q.forget_keys.execute(db, age=KEPT, most=most)
        forgotten += (count := int(status.split()[-1]))
        if count < most:
            return forgotten
