"""One connection of the HTTP edge, without a network: what is parsed, what is refused, what ends, and when."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
import uvicorn
from uvicorn.server import ServerState

from services.gateway.connections import Connections
from services.gateway.limits import Limits
from services.gateway.protocol import EdgeProtocol
from tests.support.wait import wait_until

LIMITS = Limits(connections=4, address_connections=3)


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


class Client:
    """`requests`: (method, path, headers, body) as the application received them."""

    def __init__(self, connections: Connections, address: str = "192.0.2.1") -> None:
        self.requests: list[tuple[str, str, dict[bytes, bytes], bytes]] = []
        self.disconnected: list[str] = []
        self.release = asyncio.Event()
        config = uvicorn.Config(
            self._app, http=EdgeProtocol, ws="none", interface="asgi3", proxy_headers=False, log_config=None
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


async def test_an_upgrade_that_is_not_known_is_answered_and_the_last(client: Client) -> None:
    await client.send(b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", GET % b"smuggled")
    assert [path for _, path, _, _ in client.requests] == ["/"]
    assert client.transport.closed


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


@pytest.mark.parametrize(("steps", "statuses", "ends"), [case[1:] for case in LATE], ids=[case[0] for case in LATE])
async def test_time(client: Client, steps: list[Step], statuses: list[int], ends: bool) -> None:
    """Steps: what the client sends, and seconds that pass."""
    clock = Clock(client)
    for step in steps:
        await (client.send(step) if isinstance(step, bytes) else clock.go_on(step))
    assert client.statuses == statuses
    assert (client.transport.closed or client.transport.eof) == ends


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
