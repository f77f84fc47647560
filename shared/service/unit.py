"""A unit of work: state and outgoing events committed together, published after the commit.

async with units.begin() as unit:
    await unit.connection.execute(…)
    unit.emit(subjects.event("session", "closed", session), SessionChanged(…))
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from shared.bus import trace
from shared.bus.publish import encode
from shared.db.pool import translate
from shared.runtime.log import log
from shared.service.context import Context
from shared.service.inbox import once
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

    def emit(self, subject: str, message: Any) -> None:
        """Adds an event that becomes true with the commit. `message`: a Struct, or bytes as they are."""
        self._events.append((subject, encode(message)))

    async def flush(self) -> list[Row]:
        """Writes the events to the outbox; returns the rows to publish after the commit."""
        parent, db = trace.current.get(), self.connection
        return [
            tuple(await Q.add.fetchrow(db, subject=subject, body=body, trace=parent)) for subject, body in self._events
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

    async def once(self, context: Context, data: bytes, work: Callable[[Unit], Awaitable[bytes]]) -> bytes:
        """Runs `work` in a unit; under an idempotency key, only the first time (`inbox`).

        AlreadyExists if the key was used for another request.
        """
        async with self.begin() as unit:
            if not context.key:
                return await work(unit)
            return await once(unit.connection, context, data, lambda: work(unit))
