"""An answer that goes on until the client hangs up, its token is revoked, or the process stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from litestar.types import Receive, Scope, Send

from services.gateway.http import reply
from services.gateway.http.request import Call
from services.gateway.http.sse import BEAT
from shared.contracts.errors import HeadraceError, Internal
from shared.runtime.log import log

AGAIN = 1.0
"""Seconds after which a source is asked again that could not answer."""


class Source(Protocol):
    """What is said. What `next` could not say, because a server was away, the next call says."""

    def first(self) -> bytes:
        """Said at once."""
        ...

    async def next(self) -> bytes:
        """What comes next, or a sign of life."""
        ...

    def wake(self) -> None:
        """Makes `next` return soon."""
        ...

    async def close(self) -> None: ...


class Endless:
    """A client that reads slowly slows its source down: nothing is asked of it before the last write went out.

    RateLimited, if its user has too many of them already.
    """

    def __init__(self, call: Call, media_type: str, source: Source) -> None:
        self._call, self._media_type, self._source = call, media_type, source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self._call.edge.streams.admit(self._call.user):
                await self._stream(send)
        finally:
            await self._source.close()

    async def _stream(self, send: Send) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        await reply.start(send, 200, self._media_type, headers)
        await send({"type": "http.response.body", "body": self._source.first(), "more_body": True})
        async with self._ending() as ended:
            while not ended.is_set():
                await send({"type": "http.response.body", "body": await self._next(ended), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _next(self, ended: asyncio.Event) -> bytes:
        """What comes next; a sign of life while a server that is needed for it is away: the stream goes on when it is back."""
        try:
            return await self._source.next()
        except HeadraceError as error:
            if not error.retryable or isinstance(error, Internal):
                raise
            log.info("stream.waits", why=error.message)
        with suppress(TimeoutError):
            async with asyncio.timeout(AGAIN):
                await ended.wait()
        return BEAT

    @asynccontextmanager
    async def _ending(self) -> AsyncIterator[asyncio.Event]:
        """Set when the client has hung up, its token is revoked, or the process stops."""
        ended = asyncio.Event()

        def end(_: object) -> None:
            ended.set()
            self._source.wake()

        edge, token = self._call.edge, self._call.header(b"authorization")
        ends = (self._call.gone(), edge.stopping.wait(), edge.auth.until_revoked(token))
        waits = [asyncio.create_task(one) for one in ends]
        for wait in waits:
            wait.add_done_callback(end)
        try:
            yield ended
        finally:
            for wait in waits:
                wait.remove_done_callback(end)
                wait.cancel()
