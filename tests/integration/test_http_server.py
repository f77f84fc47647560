"""The HTTP server as it is, on real sockets: what it carries, and what a hostile client cannot do to the others."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from services.gateway.http.connection.limits import Limits
from services.gateway.http.server import serve
from tests.support.gateway_rig import free_port
from tests.support.wait import LIMIT, wait_until

PEM = Path(__file__).parents[1] / "support" / "localhost.pem"
"""A self-signed certificate for localhost and its key: of use to nobody else."""
LIMITS = Limits(
    head_seconds=1, idle_seconds=2, body_window=1, write_window=1, linger=1, connections=300, address_connections=300
)
MIB = 1 << 20


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await echo(receive, send)
    elif scope["path"] == "/endless":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await asyncio.wait_for(receive(), LIMIT))["type"] != "http.disconnect":
            scope["state"].setdefault("writing", asyncio.ensure_future(_fill(send)))
        scope["state"]["writing"].cancel()
        ENDED.set()
    else:
        size, more = 0, True
        while more and scope["path"] != "/early":
            message = await receive()
            size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        body = b"%d" % size
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 413 if more else 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


ENDED = asyncio.Event()


async def _fill(send: Any) -> None:
    while True:
        await send({"type": "http.response.body", "body": bytes(MIB), "more_body": True})
        await asyncio.sleep(0)  # `send` does not wait once the client is gone


async def echo(receive: Any, send: Any) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", **{name: message.get(name) for name in ("text", "bytes")}})


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[int]:
    stop, port = asyncio.Event(), free_port()
    task = asyncio.create_task(serve(app, "127.0.0.1", port, stop, limits=LIMITS, websockets=True, **options))
    try:
        await wait_until(lambda: _listens(port) or task.done())
        yield port
    finally:
        stop.set()
        await asyncio.wait_for(task, LIMIT)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
async def port() -> AsyncIterator[int]:
    async with serving() as found:
        yield found


@pytest.fixture
async def http(port: int) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=LIMIT) as client:
        yield client


async def test_it_carries_websockets(port: int) -> None:
    async with connect(f"ws://127.0.0.1:{port}/ws", proxy=None) as ws:
        for sent in ("text", bytes(300_000)):
            await ws.send(sent)
            assert await ws.recv() == sent


async def test_it_carries_tls() -> None:
    trusted = ssl.create_default_context(cafile=str(PEM))
    async with serving(certificate=(str(PEM), str(PEM))) as port:
        async with httpx.AsyncClient(verify=trusted, trust_env=False) as client:
            assert (await client.post(f"https://localhost:{port}/", content=bytes(3 * MIB))).text == str(3 * MIB)
            refused = await client.get(f"https://localhost:{port}/", headers={"A": "x" * 20_000})
            assert (refused.status_code, refused.json()["code"]) == (431, "head_too_large")
        async with connect(f"wss://localhost:{port}/ws", ssl=trusted, proxy=None) as ws:
            await ws.send("secret")
            assert await ws.recv() == "secret"


async def test_a_header_of_100_mb_harms_nobody(port: int, http: httpx.AsyncClient) -> None:
    began = time.process_time()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = asyncio.create_task(reader.read(12))
    writer.write(b"GET / HTTP/1.1\r\nA: ")
    with contextlib.suppress(ConnectionError):
        for _ in range(100):
            writer.write(b"x" * MIB)
            await writer.drain()
            assert (await http.get("/")).status_code == 200
    assert await answer == b"HTTP/1.1 431"
    writer.close()
    assert time.process_time() - began < 5, "it took 27 s of CPU"


async def test_heads_that_never_end_are_let_go(port: int, http: httpx.AsyncClient) -> None:
    clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
    for _, writer in clients:
        writer.write(b"GET / HTTP/1.1\r\nA: ")
    assert (await http.get("/")).status_code == 200
    answers = await asyncio.wait_for(asyncio.gather(*(reader.read() for reader, _ in clients)), LIMIT)
    assert {answer[:13] for answer in answers} == {b"HTTP/1.1 408 "}
    for _, writer in clients:
        writer.close()


async def test_connections_beyond_the_limit_cost_the_idle_ones(port: int, http: httpx.AsyncClient) -> None:
    began = asyncio.get_running_loop().time()
    clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2 * LIMITS.connections)]
    assert (await http.get("/")).status_code == 200
    assert asyncio.get_running_loop().time() - began < LIMIT
    for _, writer in clients:
        writer.close()


async def test_who_does_not_read_is_cut_off(port: int, http: httpx.AsyncClient) -> None:
    ENDED.clear()
    _reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(b"GET /endless HTTP/1.1\r\n\r\n")
    await asyncio.wait_for(ENDED.wait(), LIMIT)
    assert (await http.get("/")).status_code == 200
    writer.close()


async def test_an_early_answer_is_read_although_the_body_goes_on(http: httpx.AsyncClient) -> None:
    answer = await http.post("/early", content=bytes(30 * MIB))
    assert answer.status_code == 413
    assert (await http.post("/", content=b"abc")).text == "3"
