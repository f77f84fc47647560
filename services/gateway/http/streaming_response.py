"""An answer that goes on until the client hangs up, its token is revoked, or the process stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from services.gateway.http import reply
from services.gateway.http.asgi import Receive, Scope, Send
from services.gateway.http.request import Request
from services.gateway.http.sse import HEARTBEAT
from shared.contracts.errors import HeadraceError, Internal
from shared.runtime.log import log

RETRY_SECONDS = 1.0
"""Seconds after which a source is asked again that could not answer."""


class Source(Protocol):
    """Where the parts of the answer come from. What `next` could not give, because a server was away, the next call gives."""

    def first(self) -> bytes:
        """The part that is sent at once."""
        ...

    async def next(self) -> bytes:
        """The next part, or a heartbeat if there is none for some seconds."""
        ...

    def wake(self) -> None:
        """Makes `next` return soon."""
        ...

    async def close(self) -> None:
        """Gives back what the source holds."""
        ...


class StreamingResponse:
    """Sends what a source gives. A client that reads slowly slows it down: nothing is asked of it before the last write went out.

    RateLimited, before anything is sent, if its user has too many of them already.
    """

    def __init__(self, request: Request, media_type: str, source: Source) -> None:
        self._request, self._media_type, self._source = request, media_type, source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self._request.edge.streams.admit(self._request.context.user):
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
        """The next part; a heartbeat while a server that is needed for it is away: the stream goes on when it is back."""
        try:
            return await self._source.next()
        except HeadraceError as error:
            if not error.retryable or isinstance(error, Internal):
                raise
            log.info("stream.waits", why=error.message)
        with suppress(TimeoutError):
            async with asyncio.timeout(RETRY_SECONDS):
                await ended.wait()
        return HEARTBEAT

    @asynccontextmanager
    async def _ending(self) -> AsyncIterator[asyncio.Event]:
        """Set when the client has hung up, its token is revoked, or the process stops."""
        ended = asyncio.Event()

        def end(_: object) -> None:
            ended.set()
            self._source.wake()

        edge, token = self._request.edge, self._request.header(b"authorization")
        ends = (self._request.disconnected(), edge.stopping.wait(), edge.auth.until_revoked(token))
        waits = [asyncio.create_task(one) for one in ends]
        for wait in waits:
            wait.add_done_callback(end)
        try:
            yield ended
        finally:
            for wait in waits:
                wait.remove_done_callback(end)
                wait.cancel()
