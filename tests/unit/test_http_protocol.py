"""One connection of the HTTP edge, without a network: what is parsed, what is refused, what ends, and when."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvicorn
from uvicorn.server import ServerState

from services.gateway.http.connection.connections import Connections
from services.gateway.http.connection.handshake import Handshake
from services.gateway.http.connection.limits import Limits
from services.gateway.http.connection.protocol import EdgeProtocol
from tests.support.wait import wait_until

LIMITS = Limits(connections=4, address_connections=3)
PEM = Path(__file__).parents[1] / "support" / "localhost.pem"


class Transport(asyncio.Transport):
    """Keeps what is written. `unsent`: bytes that the client has not taken."""

    def __init__(self, address: str) -> None:
        super().__init__({"peername": (address, 1), "sockname": ("127.0.0.1", 2)})
        self.written = bytearray()
        self.unsent = 0
        self.paused = self.closed = self.aborted = self.eof = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.eof = True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol


class Client:
    """`requests`: (method, path, headers, body) as the application received them."""

    def __init__(self, connections: Connections, address: str = "192.0.2.1", ws: Any = "none") -> None:
        self.requests: list[tuple[str, str, dict[bytes, bytes], bytes]] = []
        self.disconnected: list[str] = []
        self.release = asyncio.Event()
        config = uvicorn.Config(
            self._app, http=EdgeProtocol, ws=ws, interface="asgi3", proxy_headers=False, log_config=None
        )
        self.protocol = EdgeProtocol(config, ServerState(), connections)
        self.transport = Transport(address)
        self.protocol.connection_made(self.transport)

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.protocol.data_received(piece)
            await settle()

    @property
    def statuses(self) -> list[int]:
        return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3})", self.transport.written)]

    def problem(self) -> Any:
        return msgspec.json.decode(self.transport.written.rpartition(b"\r\n\r\n")[2])

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        if scope["type"] == "websocket":
            return
        if scope["path"] == "/busy":
            await self.release.wait()
        elif scope["path"] == "/held":
            while not self.release.is_set():
                waits = [asyncio.ensure_future(self.release.wait()), asyncio.ensure_future(receive())]
                done, rest = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for one in rest:
                    one.cancel()
                if waits[1] in done and waits[1].result()["type"] == "http.disconnect":
                    self.disconnected.append(scope["path"])
                    return
        elif scope["path"] != "/early":
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    self.disconnected.append(scope["path"])
                    return
                body, more = body + message["body"], message["more_body"]
        self.requests.append((scope["method"], scope["path"], dict(scope["headers"]), body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


async def settle() -> None:
    """Lets the tasks that are ready run until they wait."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client(Connections(LIMITS))
    yield made
    made.release.set()
    made.protocol.connection_lost(None)
    await settle()


GET = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def filled(size: int) -> bytes:
    """A head of `size` bytes."""
    around = b"GET / HTTP/1.1\r\nA: %b\r\n\r\n"
    return around % (b"x" * (size - len(around) + 2))


REFUSED: list[tuple[str, list[bytes], int]] = [
    ("a header line without end", [b"GET / HTTP/1.1\r\nA: "] + [b"x" * 262_144] * 8, 431),
    ("the same, byte by byte", [b"GET / HTTP/1.1\r\nA: " + b"x" * 16_300] + [b"x"] * 100, 431),
    ("a head one byte too large", [filled(16 * 1024 + 1)], 431),
    ("a field's name without end", [b"GET / HTTP/1.1\r\n" + b"x" * 20_000], 431),
    ("too many fields", [b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n"], 431),
    ("a hundred thousand fields", [b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100_000 + b"\r\n"], 431),
    ("a path of 64 KiB", [b"GET /" + b"x" * 65_536 + b" HTTP/1.1\r\n\r\n"], 414),
    ("a query of 1 MB", [b"GET /?" + b"x" * 1_000_000 + b" HTTP/1.1\r\n\r\n"], 414),
    ("a method without end", [b"G" * 20_000], 400),
    ("blank lines without end", [b"\r\n" * 4096] * 3, 431),
    ("a later request's head", [GET % b"", b"GET / HTTP/1.1\r\nA: ", b"x" * 20_000], 431),
    ("a pipelined request's head", [GET % b"" + filled(20_000)], 431),
    ("a chunk's extension without end", [CHUNKED, b"1;" + b"x" * 40_000], 400),
    ("a trailer without end", [CHUNKED, b"1\r\nx\r\n0\r\nA: " + b"x" * 40_000], 400),
    ("a trailer of many fields", [CHUNKED, b"1\r\nx\r\n0\r\n" + b"A: b\r\n" * 101], 431),
    ("a chunk's length with many zeros", [CHUNKED, b"0" * 40_000], 400),
    ("length and chunks", [b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"], 400),
    ("chunks and length", [b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"], 400),
    ("two lengths", [b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"], 400),
    ("two equal lengths", [b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"], 400),
    ("a list of lengths", [b"POST / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\nabc"], 400),
    ("a signed length", [b"POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc"], 400),
    ("an absurd length", [b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\nabc"], 400),
    ("an unknown coding", [b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n"], 400),
    ("chunks not last", [b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"], 400),
    ("two codings", [b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"], 400),
    ("chunks in HTTP/1.0", [b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"], 400),
    ("a folded line", [b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"], 400),
    ("a blank before the colon", [b"GET / HTTP/1.1\r\nA : b\r\n\r\n"], 400),
    ("lines without CR", [b"GET / HTTP/1.1\nA: b\n\n"], 400),
    ("a lone CR", [b"GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n"], 400),
    ("NUL in a value", [b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n"], 400),
    ("NUL in the path", [b"GET /\x00 HTTP/1.1\r\n\r\n"], 400),
    ("a path that is not ASCII", [b"GET /\xff HTTP/1.1\r\n\r\n"], 400),
    ("HTTP/2's preface", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], 400),
    ("HTTP/3", [b"GET / HTTP/3.0\r\n\r\n"], 400),
    ("a TLS hello", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], 400),
    ("CONNECT", [b"CONNECT example.org:80 HTTP/1.1\r\n\r\n"], 400),
    ("CONNECT with an offer", [b"CONNECT a:80 HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"], 400),
    ("two hosts", [b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"], 400),
    ("two tokens", [b"GET / HTTP/1.1\r\nAuthorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n"], 400),
    ("two keys", [b"POST / HTTP/1.1\r\nIdempotency-Key: a\r\nIdempotency-Key: a\r\n\r\n"], 400),
    ("a bad chunk", [CHUNKED, b"x\r\n"], 400),
]


@pytest.mark.parametrize(("pieces", "status"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
async def test_refused_with_a_problem_document(client: Client, pieces: list[bytes], status: int) -> None:
    await client.send(*pieces)
    served = [200] * pieces[0].startswith(GET % b"")
    assert client.statuses == [*served, status]
    assert client.problem()["status"] == status
    assert len(client.requests) == len(served), "what is refused does not reach a route"
    assert client.transport.eof or client.transport.closed


ACCEPTED: list[tuple[str, list[bytes], int]] = [
    ("a head of exactly the limit", [filled(16 * 1024)], 1),
    ("one byte by byte", [bytes([byte]) for byte in filled(2000)], 1),
    ("a hundred fields", [b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100 + b"\r\n"], 1),
    ("two heads of half the limit at once", [filled(8 * 1024) * 2], 2),
    ("a body in chunks of a byte", [CHUNKED + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n"], 1),
    ("an extension", [CHUNKED + b"1;a=b\r\nx\r\n0\r\nTrailer: a\r\n\r\n"], 1),
    ("a large body", [b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n", *[b"x" * 100_000] * 10], 1),
    ("blank lines first", [b"\r\n\r\n" + GET % b""], 1),
    ("a host each", [GET % b"" + GET % b""], 2),
    ("fields that may come twice", [b"GET / HTTP/1.1\r\nAccept: a\r\nAccept: b\r\n\r\n"], 1),
    ("an escaped path", [b"GET /%00%2e%2e/%2e HTTP/1.1\r\n\r\n"], 1),
    ("HTTP/1.0", [b"GET / HTTP/1.0\r\n\r\n"], 1),
]


@pytest.mark.parametrize(("pieces", "count"), [case[1:] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED])
async def test_accepted(client: Client, pieces: list[bytes], count: int) -> None:
    await client.send(*pieces)
    assert client.statuses == [200] * count
    assert len(client.requests) == count


async def test_a_trailer_does_not_become_a_header(client: Client) -> None:
    await client.send(CHUNKED, b"1\r\nx\r\n0\r\nAuthorization: Bearer other\r\n\r\n")
    [(_, _, headers, body)] = client.requests
    assert (b"authorization" in headers, body) == (False, b"x")


async def test_what_waits_behind_a_request_is_not_parsed(client: Client) -> None:
    await client.send(GET % b"held", *[(GET % b"next") * 1000] * 10)
    assert client.transport.paused
    assert len(client.protocol.pipeline) * len(GET % b"next") <= 2 * LIMITS.head_bytes
    client.release.set()
    await wait_until(lambda: len(client.requests) == 10_001)
    await settle()
    assert client.statuses == [200] * 10_001
    assert [path for _, path, _, _ in client.requests] == ["/held"] + ["/next"] * 10_000
    assert not client.transport.paused


async def test_an_error_is_not_the_answer_of_the_request_before(client: Client) -> None:
    await client.send(GET % b"held", b"nonsense\r\n\r\n")
    assert client.statuses == []
    client.release.set()
    await settle()
    assert client.statuses == [200, 400]


async def test_a_request_before_a_pipelined_one_notices_that_the_client_is_gone(client: Client) -> None:
    await client.send(GET % b"held", GET % b"next")
    client.protocol.connection_lost(ConnectionResetError())
    await settle()
    assert client.disconnected == ["/held"]
    assert client.requests == []


OFFERS: list[tuple[str, bytes]] = [
    (
        "as curl and Java send it",
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    ),
    ("without websockets", b"Connection: upgrade\r\nUpgrade: websocket\r\n"),
    ("two Connection fields", b"Connection: upgrade\r\nUpgrade: h2c\r\nConnection: keep-alive\r\n"),
    ("the upgrade first", b"UPGRADE: h2c, x/1\r\nConnection: x, uPgRaDe\r\n"),
]
BODIES: list[tuple[str, bytes]] = [
    ("a length", b"Content-Length: 5\r\n\r\nhello"),
    ("chunks", b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"),
]


@pytest.mark.parametrize("step", [1, 7, 10_000])
@pytest.mark.parametrize("body", [case[1] for case in BODIES], ids=[case[0] for case in BODIES])
@pytest.mark.parametrize("offer", [case[1] for case in OFFERS], ids=[case[0] for case in OFFERS])
async def test_an_offer_to_upgrade_is_ignored_and_its_body_read(
    client: Client, offer: bytes, body: bytes, step: int
) -> None:
    sent = b"PUT /a?b HTTP/1.1\r\nHost: a\r\n" + offer + body + GET % b"next"
    await client.send(*(sent[at : at + step] for at in range(0, len(sent), step)))
    assert client.statuses == [200, 200]
    [(method, path, headers, read), (_, after, _, _)] = client.requests
    assert (method, path, headers[b"host"], read, after) == ("PUT", "/a", b"a", b"hello", "/next")
    assert not client.transport.closed


WEBSOCKET = (
    b"Host: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


async def test_an_upgrade_to_websocket_is_not_ignored_where_the_application_knows_it() -> None:
    places = Connections(LIMITS)
    client = Client(places, ws="websockets-sansio")
    await client.send(b"GET /ws HTTP/1.1\r\n" + WEBSOCKET + b"\r\n")
    assert type(client.transport.protocol).__name__ == "WebSocketsSansIOProtocol"
    assert (client.requests, len(places)) == ([], 0)


async def test_but_one_with_a_body_is() -> None:
    client = Client(Connections(LIMITS), ws="websockets-sansio")
    await client.send(b"PUT /a HTTP/1.1\r\n" + WEBSOCKET + b"Content-Length: 5\r\n\r\nhello")
    assert [(path, body) for _, path, _, body in client.requests] == [("/a", b"hello")]
    await _leave(client)


async def test_many_offers_at_once_are_answered_each(client: Client) -> None:
    await client.send(b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" * 1000)
    await wait_until(lambda: len(client.requests) == 1000)
    await settle()
    assert client.statuses == [200] * 1000


async def test_an_offer_does_not_escape_the_bounds(client: Client) -> None:
    await client.send(b"PUT / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 9999\r\n\r\n", b"x")
    await Clock(client).go_on(31)
    assert (client.statuses, client.requests) == ([408], [])


async def test_a_body_that_breaks_off_is_not_carried_out(client: Client) -> None:
    await client.send(CHUNKED, b"1\r\nx\r\n", b"zz\r\n")
    assert (client.statuses, client.requests, client.disconnected) == ([400], [], ["/"])


def _to(path: str) -> bytes:
    return f"POST /{path} HTTP/1.1\r\nContent-Length: 100000\r\n".encode()


Step = bytes | float
LATE: list[tuple[str, list[Step], list[int], bool]] = [
    ("nothing", [9.0], [], False),
    ("nothing at all", [11.0], [], True),
    ("half a head", [b"GET / HT", 9.0], [], False),
    ("half a head, too long", [b"GET / HT", 11.0], [408], True),
    ("a head that drips", [b"GET / HT", 6.0, b"T", 6.0], [408], True),
    ("blank lines that drip", [b"\r\n", 6.0, b"\r\n", 6.0], [408], True),
    ("idle after a request", [GET % b"", 70.0], [200], False),
    ("idle after a request, too long", [GET % b"", 76.0], [200], True),
    ("half a head after a request", [GET % b"", 70.0, b"GET", 9.0], [200], False),
    ("half a head after a request, too long", [GET % b"", 70.0, b"GET", 11.0], [200, 408], True),
    ("a body that stops", [_to("") + b"\r\n", b"x" * 10, 29.0], [], False),
    ("a body that stops, too long", [_to("") + b"\r\n", b"x" * 10, 31.0], [408], True),
    ("a body that drips", [_to("") + b"\r\n", *[b"x", 1.0] * 31], [408], True),
    ("a slow body", [_to("") + b"\r\n", *[b"x" * 5000, 25.0] * 20], [200], False),
    ("a body that the route does not read yet", [_to("busy") + b"\r\n", b"x" * 70_000, 99.0], [], False),
    ("a body that was not asked for yet", [_to("busy") + b"Expect: 100-continue\r\n\r\n", 99.0], [], False),
    ("a body that was asked for", [_to("") + b"Expect: 100-continue\r\n\r\n", 31.0], [100, 408], True),
    ("a route that takes long", [GET % b"held", 500.0], [], False),
    ("half a head behind a route that takes long", [GET % b"held", b"GET", 500.0], [], False),
    ("the rest of a body after its answer", [_to("early") + b"\r\n", b"x", 4.0], [200], False),
    ("the same, too long", [_to("early") + b"\r\n", *[b"x", 1.0] * 6], [200], True),
    ("a refused client that stays", [b"nonsense\r\n", 6.0], [400], True),
]
STAYS: list[tuple[str, list[Step], int]] = [
    ("nonsense", [b"nonsense\r\n"], 400),
    ("half a head", [b"GET", 11.0], 408),
    ("a slow body", [_to("") + b"\r\n", b"x", 31.0], 408),
    ("a slow body that the route does not read", [_to("held") + b"\r\n", b"x", 31.0], 408),
    ("two hosts", [b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"], 400),
    ("two tokens", [b"GET / HTTP/1.1\r\nAuthorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n"], 400),
    ("two keys", [b"POST / HTTP/1.1\r\nIdempotency-Key: a\r\nIdempotency-Key: a\r\n\r\n"], 400),
    ("a bad chunk", [CHUNKED, b"1\r\nx\r\n", b"zz\r\n"], 400),
    ("a bad trailer", [CHUNKED, b"1\r\nx\r\n0\r\n" + b"A: b\r\n" * 101], 431),
]


@pytest.mark.parametrize(("steps", "statuses", "ends"), [case[1:] for case in LATE], ids=[case[0] for case in LATE])
async def test_time(client: Client, steps: list[Step], statuses: list[int], ends: bool) -> None:
    """Steps: what the client sends, and seconds that pass."""
    clock = Clock(client)
    for step in steps:
        await (client.send(step) if isinstance(step, bytes) else clock.go_on(step))
    assert client.statuses == statuses
    assert (client.transport.closed or client.transport.eof) == ends


@pytest.mark.parametrize(("steps", "status"), [case[1:] for case in STAYS], ids=[case[0] for case in STAYS])
async def test_who_was_refused_loses_the_place_although_he_stays(steps: list[Step], status: int) -> None:
    client = Client(Connections(LIMITS))
    clock = Clock(client)
    for step in steps:
        await (client.send(step) if isinstance(step, bytes) else clock.go_on(step))
    assert client.protocol.idle_since() is not None, "a newcomer may have the place"
    await clock.go_on(LIMITS.linger + 1)
    assert (client.statuses, client.transport.aborted) == ([status], True)
    client.protocol.connection_lost(None)
    await settle()


class Clock:
    """Moves the protocol's clock, and looks at the limits each half second as the server does."""

    def __init__(self, client: Client) -> None:
        self._client, self.now = client, client.protocol.loop.time()
        client.protocol.loop = self  # type: ignore[assignment]
        self._real = asyncio.get_running_loop()

    def time(self) -> float:
        return self.now

    def create_task(self, *args: Any, **options: Any) -> Any:
        return self._real.create_task(*args, **options)

    async def go_on(self, seconds: float, each: Callable[[], None] = lambda: None) -> None:
        for _ in range(int(seconds * 2)):
            self.now += 0.5
            each()
            self._client.protocol.check(self.now)
            await settle()


@pytest.mark.parametrize(("a_second", "ends"), [(0, True), (100, True), (1000, False)])
async def test_who_does_not_take_the_answer_is_cut_off(client: Client, a_second: int, ends: bool) -> None:
    await client.send(GET % b"")
    client.transport.unsent = 1_000_000

    def take() -> None:
        client.transport.unsent -= a_second // 2

    await Clock(client).go_on(60, take)
    assert client.transport.aborted == ends


async def test_who_takes_what_is_written_again_and_again_is_not(client: Client) -> None:
    await client.send(GET % b"held")
    client.transport.unsent = 1_000_000
    await Clock(client).go_on(90, client.protocol.resume_writing)  # taken, and as much written anew
    assert not client.transport.aborted


async def test_the_newcomer_gets_the_place_of_who_is_idle_for_longest() -> None:
    places = Connections(LIMITS)
    busy, *idle = [Client(places, f"192.0.2.{number}") for number in range(4)]
    await busy.send(GET % b"held")
    new = [Client(places, f"198.51.100.{number}") for number in range(3)]
    assert [one.transport.aborted for one in idle] == [True, True, True]
    for one in new:
        await one.send(GET % b"held")
    late = Client(places, "203.0.113.1")
    await settle()
    assert (late.statuses, late.problem()["code"]) == ([503], "unavailable")
    assert not busy.transport.aborted
    assert len(places) == 4
    for one in (busy, *idle, *new, late):
        one.release.set()
        one.protocol.connection_lost(None)
    await settle()
    assert len(places) == 0


async def test_one_address_does_not_take_all_places() -> None:
    places = Connections(LIMITS)
    flood = [Client(places) for _ in range(10)]
    assert [one.transport.aborted for one in flood] == [True] * 7 + [False] * 3
    other = Client(places, "203.0.113.1")
    assert not other.transport.closed
    assert len(places) == 4


async def test_who_has_his_answer_but_sends_no_body_makes_room() -> None:
    places = Connections(LIMITS)
    early = [Client(places, f"192.0.2.{number}") for number in range(4)]
    for one in early:
        await one.send(_to("early") + b"\r\n")
    new = Client(places, "198.51.100.1")
    assert (new.statuses, [one.transport.aborted for one in early]) == ([], [True, False, False, False])


class Greeting:
    """A client's TLS, in memory."""

    def __init__(self, places: Connections) -> None:
        self.client = Client(places)  # for its application
        places.remove(self.client.protocol)
        self.edge = EdgeProtocol(self.client.protocol.config, ServerState(), places)
        self.transport = Transport("192.0.2.1")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(PEM)
        self.server = Handshake(self.edge, context, places)
        self.server.connection_made(self.transport)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        trusting = ssl.create_default_context(cafile=str(PEM))
        self.tls = trusting.wrap_bio(self._in, self._out, server_hostname="localhost")

    async def shake_hands(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self.exchange()
            else:
                return await self.exchange()

    async def exchange(self) -> None:
        if sent := self._out.read():
            self.server.get_buffer(len(sent))[: len(sent)] = sent
            self.server.buffer_updated(len(sent))
        await settle()
        self._in.write(bytes(self.transport.written))
        self.transport.written.clear()


async def test_tls_counts_from_the_moment_a_connection_is_accepted() -> None:
    places = Connections(LIMITS)
    greeting = Greeting(places)
    assert (len(places), len(places.unadmitted)) == (0, 1)
    await greeting.shake_hands()
    assert (len(places), len(places.unadmitted)) == (1, 0)
    greeting.tls.write(GET % b"")
    await greeting.exchange()
    assert greeting.tls.read(1000).startswith(b"HTTP/1.1 200")
    greeting.server.connection_lost(None)
    await settle()
    assert len(places) == 0


async def test_handshakes_that_never_end_are_not_many() -> None:
    places = Connections(msgspec.structs.replace(LIMITS, unadmitted=3))
    greetings = [Greeting(places) for _ in range(5)]
    assert [one.transport.aborted for one in greetings] == [True] * 2 + [False] * 3
    for one in greetings:
        one.server.connection_lost(None)
    assert (len(places), len(places.unadmitted)) == (0, 0)


async def _full(places: Connections) -> list[Client]:
    busy = [Client(places, f"192.0.2.{number}") for number in range(LIMITS.connections)]
    for one in busy:
        await one.send(GET % b"held")
    return busy


async def _leave(*clients: Client) -> None:
    for one in clients:
        one.release.set()
        one.protocol.connection_lost(None)
    await settle()


async def test_who_found_no_place_is_closed_although_he_stays() -> None:
    places = Connections(LIMITS)
    busy = await _full(places)
    late = Client(places, "203.0.113.1")
    now = late.protocol.loop.time()
    places.check(now + LIMITS.linger - 1)
    assert (late.statuses, late.transport.aborted) == ([503], False)
    places.check(now + LIMITS.linger + 1)
    assert late.transport.aborted
    await _leave(late, *busy)
    assert (len(places), len(places.unadmitted)) == (0, 0)


async def test_those_who_found_no_place_are_not_many() -> None:
    places = Connections(LIMITS)
    busy = await _full(places)
    late = [Client(places, "203.0.113.1") for _ in range(LIMITS.unadmitted + 9)]
    assert [one.statuses for one in late] == [[503]] * len(late)
    assert [one.transport.aborted for one in late] == [True] * 9 + [False] * LIMITS.unadmitted
    assert len(places.unadmitted) == LIMITS.unadmitted
    await _leave(*late, *busy)
    assert len(places.unadmitted) == 0


async def test_a_flood_of_newcomers_does_not_cost_a_look_at_everybody_each(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def idle_since(protocol: EdgeProtocol) -> float | None:
        nonlocal looks
        looks += 1
        return EDGE_IDLE(protocol)

    monkeypatch.setattr(EdgeProtocol, "idle_since", idle_since)
    places = Connections(LIMITS)
    busy = await _full(places)
    late = [Client(places, "203.0.113.1") for _ in range(50)]
    assert looks <= LIMITS.connections
    await _leave(busy[0])
    rotating = [Client(places, f"198.51.100.{number}") for number in range(50)]
    assert [one.transport.aborted for one in rotating] == [False, *[False] * 49], "nobody was idle a moment ago"
    places.check(busy[0].protocol.loop.time())
    looks = 0
    rotating += [Client(places, f"198.51.101.{number}") for number in range(50)]
    assert [one.transport.aborted for one in rotating[50:]] == [True] * 49 + [False]
    assert looks <= LIMITS.connections + 50
    await _leave(*late, *busy[1:], *rotating)


EDGE_IDLE = EdgeProtocol.idle_since


async def test_who_gets_no_place_costs_nobody_his() -> None:
    places = Connections(LIMITS)
    idle = Client(places, "203.0.113.1")
    busy = [Client(places) for _ in range(LIMITS.address_connections)]
    for one in busy:
        await one.send(GET % b"held")
    late = Client(places)
    assert (late.statuses, idle.transport.aborted) == ([503], False)
    await _leave(late, idle, *busy)
