"""A network that stalls, and a client that hangs up."""

import asyncio
import contextlib
from urllib.parse import urlsplit

import asyncpg
import pytest

from shared.contracts.ids import submission_id
from tests.support.chaos.ground import APP, SLOTS
from tests.support.chaos.mix import Mix
from tests.support.chaos.run import running
from tests.support.edge import Edge
from tests.support.processes import Processes
from tests.support.proxy import Proxy
from tests.support.wait import wait_until

pytestmark = pytest.mark.chaos

STALL = 4.0
"""Seconds: longer than a publish waits for its acknowledgement, shorter than it takes to see that nobody is there."""


async def test_the_network_stalls_and_is_cut(system: Processes, edge: Edge) -> None:
    """Between the bus and those who hold the work: the schedulers and a worker."""
    mix = Mix.whole()
    schedulers = ("scheduler", "scheduler-2")
    away = (*schedulers, "worker-1")
    async with Proxy(system.stack.nats.port) as proxy:
        for name in away:
            await system.stop(name)
        url = proxy.url(system.stack.nats.url)
        for name in schedulers:
            await system.start_service("scheduler", replica=name, nats_url=url)
        await system.start_worker("worker-1", app=APP, slots=SLOTS, nats_url=url)
        async with running(system, edge, mix.lines) as run:
            await run.middle(0.1)
            proxy.stall()
            clock = asyncio.get_running_loop().time
            until = clock() + STALL
            await wait_until(lambda: clock() >= until, timeout=STALL + 1)
            proxy.heal()
            await run.middle(0.5)
            proxy.cut()
            await run.done()
            await run.counted(mix)
        for name in away:
            await system.stop(name)
    for name in schedulers:
        await system.start_service("scheduler", replica=name)
    await system.start_worker("worker-1", app=APP, slots=SLOTS)


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_submission_is_cut_off_in_the_middle(system: Processes, edge: Edge, framing: str) -> None:
    """Several chunks have reached the scheduler by then. Nothing of it is seen, and nothing of it runs."""
    session, name = await edge.session(function="add"), submission_id()
    line = b'{"payload":{"n":1,"pad":"%s"}}\n' % (b"x" * 400)
    body = line * 8_000
    at = urlsplit(system.http)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    length = f"Content-Length: {2 * len(body)}" if framing == "length" else "Transfer-Encoding: chunked"
    writer.write(
        f"POST /compute/v1/sessions/{session}/submissions?id={name} HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {system.token}\r\nContent-Type: application/x-ndjson\r\n{length}\r\n\r\n".encode()
    )
    writer.write(body if framing == "length" else b"%x\r\n%b\r\n" % (len(body), body))
    await writer.drain()

    connection = await asyncpg.connect(system.stack.database_url("scheduler"))
    try:
        await connection.execute("SET search_path = scheduler")

        async def arrived() -> bool:
            return bool(await connection.fetchval("SELECT count(*) >= 4 FROM chunks WHERE submission = $1", name))

        await system.wait_until(arrived, timeout=30)
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await reader.read()

        mix = Mix.whole(1_000)
        async with running(system, edge, mix.lines) as other:  # what comes after it is not held up
            await other.done()
            await other.counted(mix)
        path = f"/compute/v1/sessions/{session}"
        assert (await edge.get(path))["tasks"]["completed"] == 0
        assert await connection.fetchval("SELECT status FROM submissions WHERE id = $1", name) != 2
        assert set(await connection.fetch("SELECT DISTINCT status FROM tasks WHERE session = $1", session)) <= {
            (1,),
            (2,),
        }
        assert await edge.everything(f"{path}/tasks") == []
        assert await edge.everything(f"{path}/results") == []
        assert (await edge.get(path))["tasks"]["total"] == 0

        # The same submission, whole: what had arrived is not there twice.
        answer = await edge.plain.post(
            f"{path}/submissions?id={name}", content=body, headers={"Content-Type": "application/x-ndjson"}
        )
        assert answer.status_code == 201, answer.text
        assert answer.json()["tasks"] == 8_000

        async def all_done() -> bool:
            return bool((await edge.get(path))["tasks"]["completed"] == 8_000)

        await system.wait_until(all_done, timeout=60, every=0.2)
    finally:
        await connection.close()
