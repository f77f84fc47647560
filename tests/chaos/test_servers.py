"""A server is restarted, crashes, loses its storage or stays away in the middle of the work."""

import asyncio
import hashlib

import pytest

from tests.support.chaos.mix import Mix
from tests.support.chaos.run import running
from tests.support.edge import Edge
from tests.support.processes import Processes
from tests.support.wait import wait_until

pytestmark = pytest.mark.chaos

AWAY = 20.0
"""Seconds for which object storage is away."""


@pytest.mark.parametrize("how", ["restarted", "killed"])
@pytest.mark.parametrize("server", ["nats", "postgres"])
async def test_a_server_comes_back(system: Processes, edge: Edge, server: str, how: str) -> None:
    mix = Mix.whole()
    async with running(system, edge, mix.lines) as run:
        await run.middle()
        await (system.kill_server if how == "killed" else system.stop_server)(server)
        await system.start_server(server)
        await run.done()
        await run.counted(mix)


async def test_the_bus_loses_all_that_it_has_stored(system: Processes, edge: Edge) -> None:
    mix = Mix.whole()
    async with running(system, edge, mix.lines) as run:
        await run.middle()
        await system.wipe_jetstream()
        await run.done()
        await run.counted(mix, retold=True)


async def test_the_bus_loses_its_storage_and_the_schedulers_die_with_it(system: Processes, edge: Edge) -> None:
    """Who comes up again has not seen the old streams, and cannot know that they were lost."""
    mix = Mix.whole()
    async with running(system, edge, mix.lines) as run:
        await run.middle()
        for name in ("scheduler", "scheduler-2"):
            await system.kill(name)
        await system.wipe_jetstream()
        for name in ("scheduler", "scheduler-2"):
            await system.restart(name)
        await run.done()
        await run.counted(mix, retold=True)


async def test_object_storage_is_away(system: Processes, edge: Edge) -> None:
    """Outputs of 64 KiB, which do not ride on the bus; and tasks that read them."""
    count, joins = 400, 20
    lines = [b'{"payload":65536}\n'] * count
    lines += [b'{"payload":100,"inputs":["@%d","@%d"]}\n' % (n, count - 1 - n) for n in range(joins)]
    async with running(system, edge, b"".join(lines), function="blob") as run:
        await run.middle()
        await system.stop_server("s3")
        clock = asyncio.get_running_loop().time
        until = clock() + AWAY
        await wait_until(lambda: clock() >= until, timeout=AWAY + 1)
        assert len(run.received.completed) < run.total
        await system.start_server("s3")
        await run.done()
        await run.counted()
        for line in (0, count // 2, count - 1):
            task = run.submission.id.int | line
            answer = await edge.ask("GET", f"/compute/v1/results/{run.result(line)}/data")
            expected = task.to_bytes(16) * 4096
            assert hashlib.sha256(answer.content).digest() == hashlib.sha256(expected).digest()
        for line in range(joins):
            answer = await edge.ask("GET", f"/compute/v1/results/{run.result(count + line)}/data")
            assert len(answer.content) == 100
