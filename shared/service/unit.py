"""A unit of work: state and outgoing events committed together, published after the commit.

    async with units.begin() as unit:
        await unit.connection.execute(Q["close_session"], …)
        unit.tell(subjects.event("session", "closed", session), SessionChanged(…))

`once` makes a request with an idempotency key act one time: the key, the work and the answer are one transaction.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from shared.bus import trace
from shared.bus.publish import encode
from shared.contracts.errors import AlreadyExists
from shared.db.pool import translate
from shared.runtime.log import log
from shared.service.context import Context
from shared.service.outbox import Q, Relay, Row

Connection = Any
"""asyncpg's connection, or the pool's stand-in for one."""


class Unit:
    """One transaction of one handler.

    `after` runs once it has committed, in order, before the events go out; `undone` once it was rolled back, or when nobody
    knows whether it was: who asked gave up, or the connection was lost, while it committed.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.after: list[Callable[[], Awaitable[None]]] = []
        self.undone: list[Callable[[], Awaitable[None]]] = []
        self._events: list[tuple[str, bytes]] = []

    def tell(self, subject: str, message: Any) -> None:
        """An event that becomes true with the commit."""
        self._events.append((subject, encode(message)))

    async def flush(self) -> list[Row]:
        """Writes the events to the outbox; the rows to publish after the commit."""
        parent = trace.current.get()
        return [
            tuple(await self.connection.fetchrow(Q["add"], subject, body, parent)) for subject, body in self._events
        ]


class Units:
    """The units of work of one service."""

    def __init__(self, pool: "asyncpg.Pool[Any]", relay: Relay) -> None:
        self.pool, self._relay = pool, relay

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Unit]:
        """Commits at the end of the block, rolls back on an error; Unavailable if the database is away."""
        unit = Unit(None)
        try:
            async with self.pool.acquire() as connection:
                unit.connection = connection
                async with connection.transaction():
                    yield unit
                    rows = await unit.flush()
        except BaseException as error:  # also a caller's time-out, which may come while it commits
            for effect in unit.undone:
                await effect()
            if isinstance(error, Exception) and (away := translate(error)):
                raise away from error
            raise
        # It is committed: what follows is not undone by an error, nor cut off by the caller's time-out.
        await asyncio.shield(asyncio.create_task(self._follow(unit, rows)))

    async def _follow(self, unit: Unit, rows: list[Row]) -> None:
        async def publish() -> None:
            await self._relay.push(rows)

        for effect in [*unit.after, publish]:
            try:
                await effect()
            except Exception as error:  # sweepers find what is missing
                log.error("unit.effect_failed", error=repr(error), exc_info=True)

    async def once(self, ctx: Context, data: bytes, work: Callable[[Unit], Awaitable[bytes]]) -> bytes:
        """Runs `work` in a unit; with a key, only the first time: later the stored answer is given again.

        AlreadyExists if the key was used for another request.
        """
        async with self.begin() as unit:
            if not ctx.key:
                return await work(unit)
            db, owner = unit.connection, ctx.user
            # A command and a request may share a key: what counts is the noun and verb, not the way it came.
            noun = ".".join(ctx.subject.split(".")[-2:])
            digest = hashlib.sha256(data).digest()
            if await db.fetchval(Q["claim_key"], owner, ctx.key, noun, digest) is None:
                seen = await db.fetchrow(Q["find_key"], owner, ctx.key)
                if seen["subject"] != noun or seen["digest"] != digest:
                    raise AlreadyExists("this idempotency key was used for another request", field="Idempotency-Key")
                return bytes(seen["reply"])
            reply = await work(unit)
            await db.execute(Q["answer_key"], owner, ctx.key, reply)
            return reply
