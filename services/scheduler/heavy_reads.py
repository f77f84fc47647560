"""Reads that look at many rows: on connections of their own, of which each user has a share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.db.sql import Db
from shared.runtime.admission import Admission
from shared.service.context import Context

SECONDS = 8
"""Time limit of one statement: PostgreSQL ends one that takes longer. Less than the 10 s that a request may take."""
PLACES = 4
"""Reads that one process does at a time: what changes something never waits for them."""
PLACES_OF_ONE = 2
"""Such reads of one user at a time."""
WAITING = 100
"""Reads of a user that may wait for a place."""
AT_ONCE = 1000
"""Requests for such reads that one process holds at a time."""


class HeavyReads:
    """`db`: the pool of these connections."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._admission = Admission("lists", most=PLACES, of_one=PLACES_OF_ONE, waiting=WAITING)

    @asynccontextmanager
    async def place(self, ctx: Context) -> AsyncIterator[Db]:
        """The pool to ask, when it is the caller's turn; RateLimited if they ask for too much at once."""
        async with self._admission.admit(ctx.user):
            yield self._db
