"""The HTTP server: uvicorn's, with our protocol on each connection. Why this one: docs/adr/0020-http-server.md."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Final

import uvicorn

from services.gateway.http.connection.connections import Connections
from services.gateway.http.connection.handshake import Handshake
from services.gateway.http.connection.limits import Limits, for_this_process
from services.gateway.http.connection.protocol import EdgeProtocol
from shared.runtime.log import log

_GRACE: Final = 5
"""Seconds that requests under way have to end when the process stops."""
_TICKS: Final = 5
"""Tenths of a second between two looks at the connections' time limits."""


class Server(uvicorn.Server):
    """Serves on a listening socket; the process's lifecycle decides when it ends, not uvicorn's signal handlers."""

    def __init__(self, config: uvicorn.Config, limits: Limits) -> None:
        super().__init__(config)
        self._places = Connections(limits)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.servers = [
            await asyncio.get_running_loop().create_server(self._connection, sock=one, backlog=self.config.backlog)
            for one in sockets or ()
        ]
        self.started = True

    def _connection(self) -> asyncio.BaseProtocol:
        edge = EdgeProtocol(self.config, self.server_state, self._places)
        return Handshake(edge, self.config.ssl, self._places) if self.config.ssl else edge

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS == 0:
            self._places.check(asyncio.get_running_loop().time())
        return await super().on_tick(counter)


async def serve(
    app: Any,
    host: str,
    port: int,
    stop: asyncio.Event,
    *,
    certificate: tuple[str, str] = ("", ""),
    limits: Limits | None = None,
    websockets: bool = False,
) -> None:
    """Serves the ASGI application until `stop` is set, then lets the requests under way finish for some seconds.

    `certificate`: PEM files with the certificate and its key; empty: no TLS. `websockets`: upgrades are passed on to the
    application, which has to know what to do with them.
    """
    certificate_file, key_file = certificate
    config = uvicorn.Config(
        app,
        loop="none",
        http=EdgeProtocol,
        ws="websockets-sansio" if websockets else "none",
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE,
        backlog=1024,
        ssl_certfile=certificate_file or None,
        ssl_keyfile=key_file or None,
    )
    server = Server(config, limits or for_this_process())
    listener = _listen(host, port)
    log.info("http.listening", host=host, port=listener.getsockname()[1])

    async def end() -> None:
        await stop.wait()
        server.should_exit = True

    ending = asyncio.create_task(end())
    try:
        await server.serve(sockets=[listener])
    finally:
        ending.cancel()
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=1024)
    listener.setblocking(False)
    return listener
