"""TLS on a connection, counted from the moment the connection is accepted."""

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from typing import Any

from services.gateway.http.connection.connections import Connections
from services.gateway.http.connection.protocol import EdgeProtocol


class Handshake(SSLProtocol):
    """What `create_server(ssl=...)` makes, but it counts as not admitted until the handshake is over and `edge` asks to be admitted."""

    def __init__(self, edge: EdgeProtocol, context: ssl.SSLContext, connections: Connections) -> None:
        seconds: Any = connections.limits.head_seconds
        nobody_waits: Any = None
        super().__init__(edge.loop, edge, context, nobody_waits, server_side=True, ssl_handshake_timeout=seconds)
        self._unadmitted = connections.unadmitted
        self._raw: asyncio.Transport | None = None
        edge.handshake = self

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._raw = transport
        self._unadmitted.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._unadmitted.remove(self)
        super().connection_lost(exc)

    def give_up(self) -> None:
        if self._raw is not None:
            self._raw.abort()

    def check(self, now: float) -> None:
        """TLS has a timer of its own."""
