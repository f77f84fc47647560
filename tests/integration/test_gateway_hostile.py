"""What one client does to the edge, another does not notice."""

import asyncio
import contextlib
import gzip
import socket
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from services.gateway.edge import TRANSFERS_OF_ONE
from services.gateway.http.connection.limits import Limits
from tests.support.buckets import new_bucket
from tests.support.compute_rig import forget_streams, new_database
from tests.support.gateway_rig import Gateway, running
from tests.support.servers import Servers
from tests.support.wait import LIMIT, wait_until

LIMITS = Limits(body_window=2, write_window=2, linger=1)
MIB = 1 << 20


@pytest.fixture(scope="module")
async def gateway(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """One gateway for all tests here."""
    await forget_streams(servers)
    async with (
        new_database(servers) as database,
        new_bucket(servers) as s3,
        running(servers, database, s3, tmp_path_factory.mktemp("gateway"), limits=LIMITS) as started,
    ):
        yield started


@pytest.fixture(scope="module")
async def alice(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with await gateway.user("alice") as client:
        yield client


@pytest.fixture(scope="module")
async def bob(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with await gateway.user("bob") as client:
        yield client


@contextlib.contextmanager
def connected(gateway: Gateway, request: str, client: httpx.AsyncClient) -> Iterator[socket.socket]:
    """A connection that has sent a request with the client's token and reads nothing."""
    where = urlsplit(gateway.url)
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.connect((where.hostname, where.port))
        made.sendall(f"{request}\r\nAuthorization: {client.headers['authorization']}\r\n\r\n".encode())
        yield made


def answered(clients: list[socket.socket]) -> int:
    """How many have an answer, or the beginning of one."""
    count = 0
    for one in clients:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            one.setblocking(False)
            count += bool(one.recv(1, socket.MSG_PEEK))
    return count


async def test_clients_that_do_not_read_take_nothing_from_others(
    gateway: Gateway, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    large, small = (f"/compute/v1/results/{gateway.scheduler.result(uuid4()).id}/data" for _ in range(2))
    value = bytes(30 * MIB)
    assert (await alice.put(large, content=value)).status_code == 200
    with contextlib.ExitStack() as stack:
        stalled = [stack.enter_context(connected(gateway, f"GET {large} HTTP/1.1", alice)) for _ in range(70)]
        await wait_until(lambda: answered(stalled) >= TRANSFERS_OF_ONE)
        assert (await bob.put(small, content=value[:MIB])).status_code == 200
        assert (await bob.get(small)).content == value[:MIB]
        assert (await gateway.http.get("/health/ready")).status_code == 200
        assert answered(stalled) < 64, "they have the places of one user only"
        # Those that stall are cut off, and the places go to those that wait.
        await wait_until(lambda: answered(stalled) > TRANSFERS_OF_ONE)
    assert (await alice.get(small)).content == value[:MIB]


async def test_uploads_that_stall_are_ended(gateway: Gateway, alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    results = [f"/compute/v1/results/{gateway.scheduler.result(uuid4()).id}/data" for _ in range(31)]
    with contextlib.ExitStack() as stack:
        head = "PUT {} HTTP/1.1\r\nContent-Length: 1000000"
        stalled = [stack.enter_context(connected(gateway, head.format(one), alice)) for one in results[1:]]
        for one in stalled:
            one.sendall(bytes(20_000))
        assert (await bob.put(results[0], content=bytes(MIB))).status_code == 200
        await wait_until(lambda: answered(stalled) == len(stalled))
        assert {one.recv(12) for one in stalled} == {b"HTTP/1.1 408"}
    assert not [asked for _, asked in gateway.scheduler.asked("result.complete") if asked.size == 20_000]


async def test_a_stream_ends_when_its_token_is_revoked(gateway: Gateway) -> None:
    made = (await gateway.http.post("/ops/v1/users", json={"name": "carol"})).json()
    other = (await gateway.http.post("/ops/v1/users", json={"name": "carol"})).json()
    async with gateway.client(made["token"]) as carol, gateway.client(other["token"]) as still:
        session = (await carol.post("/compute/v1/sessions", json={})).json()["id"]
        paths = ("/events", f"/events?session={session}", f"/compute/v1/sessions/{session}/watch")
        async with contextlib.AsyncExitStack() as stack:
            ending = [await stack.enter_async_context(carol.stream("GET", path)) for path in paths]
            going = await stack.enter_async_context(still.stream("GET", "/events"))
            assert [one.status_code for one in (*ending, going)] == [200] * 4
            assert (await gateway.http.delete(f"/ops/v1/tokens/{made['id']}")).status_code == 204
            await asyncio.wait_for(asyncio.gather(*(one.aread() for one in ending)), LIMIT)
            rest = asyncio.create_task(going.aread())
            await asyncio.wait([rest], timeout=0.1)
            assert not rest.done(), "the other token is as good as before"
            rest.cancel()


SESSION = f"/compute/v1/sessions/{uuid4()}"
ODD: list[tuple[str, str, dict[str, str], bytes, int]] = [
    ("NUL in a segment", "GET /compute/v1/sessions/%00", {}, b"", 400),
    ("dots in a segment", "GET /compute/v1/sessions/%2e%2e", {}, b"", 400),
    ("dots", "GET /compute/v1/../v1/sessions", {}, b"", 404),
    ("an encoded slash", "GET /compute/v1/sessions%2f..", {}, b"", 400),
    ("half an escape", "GET /compute/v1/sessions/%", {}, b"", 400),
    ("an escape that is not UTF-8", "GET /compute/v1/sessions/%ff", {}, b"", 400),
    ("a query of 8 KiB", "GET /compute/v1/sessions?token=" + "x" * 8192, {}, b"", 200),
    ("ten thousand fields in a query", "GET /compute/v1/sessions?" + "a&" * 5000, {}, b"", 400),
    ("an absolute address", "GET http://example.org/health/live", {}, b"", 200),
    ("a fragment", "GET /health/live#x", {}, b"", 200),
    ("TRACE", "TRACE /health/live", {}, b"", 405),
    ("PROPFIND", "PROPFIND /compute/v1/sessions", {}, b"", 405),
    ("OPTIONS", "OPTIONS /compute/v1/sessions", {}, b"", 204),
    ("OPTIONS *", "OPTIONS *", {}, b"", 404),
    ("a lower-case method", "get /health/live", {}, b"", 400),
    ("an unknown method", "BREW /health/live", {}, b"", 400),
    ("a gzip bomb", "POST /compute/v1/sessions", {"Content-Encoding": "gzip"}, gzip.compress(bytes(64 * MIB)), 400),
    ("deep JSON", "POST /compute/v1/sessions", {}, b'{"options": ' + b"[" * 100_000, 400),
    (
        "deep JSON in a field that is passed on",
        f"POST {SESSION}/submissions",
        {},
        b'{"tasks":[{"payload":' + b"[" * 500_000,
        400,
    ),
    ("a number of a million digits", "POST /compute/v1/sessions", {}, b'{"name": ' + b"9" * 1_000_000 + b"}", 400),
    ("a million keys", "POST /compute/v1/sessions", {}, b"{" + b'"a":0,' * 150_000 + b'"b":0}', 400),
    ("lines without end", f"POST {SESSION}/submissions", {"Content-Type": "application/x-ndjson"}, b"x" * 2 * MIB, 413),
    ("an announced terabyte", "POST /compute/v1/sessions", {"Content-Length": "1000000000000"}, b"", 413),
    ("a token of 10 KiB", "GET /compute/v1/sessions", {"Authorization": "Bearer " + "x" * 10_240}, b"", 401),
    ("two tokens", "GET /compute/v1/sessions", {"Authorization": "Bearer x", "authorization": "Bearer y"}, b"", 400),
    ("a range of many parts", "GET /health/live", {"Range": "bytes=" + "0-1," * 1000 + "0-1"}, b"", 200),
    ("an expectation that is not known", "GET /health/live", {"Expect": "the impossible"}, b"", 200),
]
"""what, request line, header, body, status"""


@pytest.mark.parametrize("case", ODD, ids=[case[0] for case in ODD])
async def test_odd_requests_get_an_answer(
    gateway: Gateway, alice: httpx.AsyncClient, case: tuple[str, str, dict[str, str], bytes, int]
) -> None:
    _, line, fields, body, status = case
    usual = {"Host": "edge", "Authorization": alice.headers["authorization"], "Content-Length": str(len(body))}
    usual = {name: value for name, value in usual.items() if name not in fields}
    header = "".join(f"{name}: {value}\r\n" for name, value in (usual | fields).items())
    where = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(f"{line} HTTP/1.1\r\n{header}\r\n".encode() + body)
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LIMIT)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
    if status >= 400:
        assert b"application/problem+json" in answer
    writer.close()
    assert (await gateway.http.get("/health/live")).status_code == 200
