"""HTTP/1.1 on one connection: uvicorn's protocol on httptools, with bounds on what a client may make it read, keep and wait for.

The parser has no limit of its own, and joins a field that comes in pieces anew with each of them. So bytes are fed to it in
slices that cannot be larger than a whole head may be, and how far it has got is known after each. What waits behind a
request that is being answered is not parsed at all. Seconds are looked at by `Connections.check`, not by a timer a request.
"""

import asyncio
from typing import Any, Final

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from services.gateway.http import errors
from services.gateway.http.connection import upgrade
from services.gateway.http.connection.connections import Closable, Connections
from services.gateway.http.connection.flow import HeldFlow, Reading
from services.gateway.http.connection.limits import RequestTimeout, TooManyConnections, check_once
from shared.contracts.errors import HeadraceError, Invalid
from shared.runtime.log import log

_PER_BODY_BYTE: Final = 16
"""Bytes around each byte of a body that comes in chunks: a chunk of one byte has five."""


class EdgeProtocol(HttpToolsProtocol):
    """One connection. `connections`: all of them, with the limits."""

    def __init__(self, config: Config, server_state: ServerState, connections: Connections) -> None:
        super().__init__(config, server_state, {})
        self._places, self._limits = connections, connections.limits
        self._reading = Reading.HEAD
        self._since = self.loop.time()
        self._head_fed = self._target = self._fields = self._size = 0
        self._ended = self._chunked = self._over = False
        self._again, self._seen = b"", set[bytes]()
        self._held, self._around, self._window = bytearray(), 0, 0
        self._refusal: HeadraceError | None = None
        self._answering: RequestResponseCycle | None = None
        self.address = ""
        self.handshake: Closable | None = None

    # -- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow: HeldFlow = HeldFlow(transport)
        self.address = self.client[0] if self.client else ""
        if self.handshake is not None:
            self._places.unadmitted.remove(self.handshake)
            self.handshake = None
        try:
            self._places.add(self)
        except TooManyConnections as error:
            self._refuse(error)
            self._places.unadmitted.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._places.remove(self)
        self._reading = Reading.NOTHING
        self._held.clear()
        self.pipeline.clear()
        if self._answering is not None:  # uvicorn only notifies the request that it read last
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        self._places.remove(self)  # from here on it is another protocol's, with limits of its own
        super().handle_websocket_upgrade()

    # -- what comes

    def data_received(self, data: bytes) -> None:
        if self._reading is Reading.NOTHING:
            self._head_fed += len(data)
            if self._head_fed > self._limits.linger_bytes:
                self.transport.abort()
        elif self._held:
            self._hold(data)
        else:
            if self._reading is Reading.HEAD and not self._head_fed:
                self._since = self.loop.time()
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        most, at = self._limits.head_bytes, 0
        while at < len(data) and self._reading is not Reading.NOTHING:
            if self.pipeline:  # the requests before are answered first
                self._hold(data[at:])
                return
            end = at + (most - self._head_fed if self._reading is Reading.HEAD else most)
            piece = data if at == 0 and end >= len(data) else data[at:end]
            at = end
            self._ended = False
            self._parse(piece)
            self._count(len(piece))

    def _parse(self, piece: bytes) -> None:
        try:
            while piece:
                piece = self._parse_to_upgrade(piece)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, HeadraceError) else Invalid(f"not an HTTP request: {error}"))

    def _parse_to_upgrade(self, piece: bytes) -> bytes:
        """Returns what is still to be parsed: a request whose offer to upgrade is ignored, and what follows it."""
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as end:
            if self._again:
                again, self._again = self._again, b""
                return again + piece[end.args[0] :]
            self._reading = Reading.NOTHING
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            else:  # CONNECT: what follows could be in any protocol: one answer, then the end
                self.cycle.keep_alive = False
        return b""

    def _count(self, size: int) -> None:
        """Adds what was fed, and refuses what is too much."""
        if self._reading is Reading.HEAD:
            self._head_fed = 0 if self._ended else self._head_fed + size
            if self._head_fed >= self._limits.head_bytes:
                try:  # which of the two limits, as far as it is known; the last field is not yet counted
                    self._limits.check_head(self._target, self._fields, self._head_fed + 1 - self._target)
                except HeadraceError as error:
                    self._refuse(error)
        elif self._reading is Reading.BODY:
            self._window += size
            self._around = max(0, self._around + size)
            if self._around > self._limits.head_bytes:
                self._refuse(Invalid("the body has more around its chunks than in them", field="body"))

    def _hold(self, data: bytes) -> None:
        self._held += data
        self.flow.held = True
        self.flow.pause_reading()

    # -- what the parser finds

    def on_message_begin(self) -> None:
        self._target = self._fields = self._size = 0
        self._chunked = False
        self._seen.clear()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._target += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        self._size += len(name) + len(value) + 4
        if self._reading is Reading.BODY:  # of a trailer: it may not change what the request was when it began
            self._limits.check_head(0, self._fields, 0)
            return
        check_once(lower := name.lower(), self._seen)
        if lower == b"transfer-encoding":
            if self._chunked or value.lower() != b"chunked":
                raise Invalid("the only transfer coding that is taken is chunked", field="Transfer-Encoding")
            self._chunked = True
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        line = len(self.parser.get_method()) + len(b"  HTTP/1.1\r\n\r\n")
        self._limits.check_head(self._target, self._fields, self._size + line)
        if self._chunked and self.parser.get_http_version() == "1.0":
            raise Invalid("HTTP/1.0 has no transfer codings", field="Transfer-Encoding")
        if self.parser.should_upgrade() and self._ignores_upgrade():
            method, version = self.parser.get_method(), self.parser.get_http_version()
            self._again = upgrade.head_without(method, self.url, version, self.headers)
            return
        self._reading = Reading.BODY
        self._since = self.loop.time()
        self._head_fed = self._around = self._window = 0
        super().on_headers_complete()

    def _ignores_upgrade(self) -> bool:
        return upgrade.is_offered(self.headers) and (upgrade.has_body(self.headers) or not self._should_upgrade())

    def on_body(self, body: bytes) -> None:
        self._around -= (1 + _PER_BODY_BYTE) * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._again:
            return
        super().on_message_complete()
        self._reading, self._ended = Reading.HEAD, True

    # -- what goes out

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._since = self.loop.time()
        if self._refusal is not None and not self.pipeline:
            self._answer(self._refusal)
            return
        self._answering = None
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        if self._held and not self.pipeline:
            data = bytes(self._held)
            self._held.clear()
            self.flow.held = False
            self._feed(data)
        if not self.pipeline:
            self.flow.resume_reading()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _refuse(self, error: HeadraceError) -> None:
        """Reads nothing any more, and answers if it is this request's turn."""
        body_of_it = self._reading is Reading.BODY
        self._reading, self._head_fed = Reading.NOTHING, 0
        self._since = self.loop.time()
        self._held.clear()
        self.flow.held = False
        if not self._busy:
            self._answer(error)
        elif body_of_it and (self.pipeline or self.cycle.response_started):
            self.transport.close()
        elif body_of_it:
            self.cycle.disconnected = True  # what the route answers is not sent
            self.cycle.message_event.set()
            self._answer(error)
        else:  # of the request after it
            self._refusal = error

    def _answer(self, error: HeadraceError) -> None:
        """A problem document, then the end."""
        if self.transport.is_closing():
            return
        log.info("http.refused", status=error.status, code=error.code, client=self.address)
        reply = errors.problem_reply(error, "")
        fields = {"Content-Type": reply.media_type, "Content-Length": str(len(reply.body)), "Connection": "close"}
        lines = [f"{name}: {value}\r\n" for name, value in (fields | errors.headers(error)).items()]
        dates = [b"%b: %b\r\n" % pair for pair in self.server_state.default_headers]
        self.transport.write(
            b"".join([STATUS_LINE[error.status], *dates, "".join(lines).encode(), b"\r\n", reply.body])
        )
        self._reading, self._since, self._refusal = Reading.NOTHING, self.loop.time(), error
        self._over = True
        self.flow.resume_reading()
        # To close with bytes unread would take the answer back: they are dropped for a while.
        if self.transport.can_write_eof():
            self.transport.write_eof()

    # -- time

    @property
    def _busy(self) -> bool:
        """Whether a request is being answered."""
        return not self._over and self.cycle is not None and not self.cycle.response_complete

    def idle_since(self) -> float | None:
        return None if self._busy else self._since

    def give_up(self) -> None:
        self.transport.abort()

    def check(self, now: float) -> None:
        if self.flow.is_stuck(now, self._limits):
            log.info("http.stalled", client=self.address, size=self.transport.get_write_buffer_size())
            self.transport.abort()
        elif self._reading is Reading.NOTHING:
            if not self._busy and now - self._since > self._limits.linger:
                self.transport.abort()
        elif self._reading is Reading.BODY:
            self._check_body(now)
        elif not self._busy:
            self._check_head(now)

    def _check_head(self, now: float) -> None:
        waited = now - self._since
        if self._head_fed:
            if waited > self._limits.head_seconds:
                self._refuse(RequestTimeout(f"a request's head has to come within {self._limits.head_seconds:g} s"))
        elif waited > (self._limits.idle_seconds if self.cycle else self._limits.head_seconds):
            self.transport.close()

    def _check_body(self, now: float) -> None:
        if not self._busy:  # it is answered: the rest is dropped
            if now - self._since > self._limits.linger:
                self.transport.abort()
        elif self.flow.read_paused or self.cycle.waiting_for_100_continue or self._window >= self._limits.body_least:
            self._since, self._window = now, 0
        elif now - self._since > self._limits.body_window:
            least, seconds = self._limits.body_least, self._limits.body_window
            self._refuse(RequestTimeout(f"at least {least} bytes of a body have to come in {seconds:g} s"))
