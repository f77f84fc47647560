"""A process of ours is killed in the middle of 5,000 tasks; somebody starts it again."""

import pytest

from shared.contracts.subjects import SERVICES
from tests.chaos.conftest import APP, SLOTS
from tests.chaos.mix import Mix
from tests.chaos.run import running
from tests.support.edge import Edge
from tests.support.processes import Processes

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_is_killed(system: Processes, edge: Edge, service: str) -> None:
    mix = Mix.whole()
    async with running(system, edge, mix.lines) as run:
        await run.middle()
        await system.kill(service)
        await system.restart(service)
        await run.done()
        await run.counted(mix)


async def test_the_scheduler_is_killed_again_and_again(system: Processes, edge: Edge) -> None:
    mix = Mix.whole()
    async with running(system, edge, mix.lines) as run:
        for fraction in (0.05, 0.3, 0.6):
            await run.middle(fraction)
            await system.kill("scheduler")
            await system.restart("scheduler")
        await run.done()
        await run.counted(mix)


async def test_of_two_schedulers_the_one_that_dispatches_is_killed(system: Processes, edge: Edge) -> None:
    mix = Mix.whole()
    await system.start_service("scheduler", replica="scheduler-2")
    await system.wait_until(lambda: "partition.known" in {line["event"] for line in system.log("scheduler-2")})
    async with running(system, edge, mix.lines) as run:
        await run.middle()
        await system.kill("scheduler")
        await run.done()
        await run.counted(mix)
    await system.restart("scheduler")
    await system.stop("scheduler-2")


async def test_a_worker_is_killed(system: Processes, edge: Edge) -> None:
    """Another takes over what it held, and a new one takes part."""
    mix = Mix.whole()
    async with running(system, edge, mix.lines) as run:
        await run.middle()
        await system.kill("worker-1")
        await system.restart("worker-1")
        await run.done()
        await run.counted(mix)


async def test_all_workers_are_killed(system: Processes, edge: Edge) -> None:
    mix = Mix.whole()
    async with running(system, edge, mix.lines) as run:
        await run.middle()
        for name in ("worker-1", "worker-2"):
            await system.kill(name)
        await system.start_worker("worker-1", app=APP, slots=SLOTS)
        await system.start_worker("worker-2", app=APP, slots=SLOTS)
        await run.done()
        await run.counted(mix)
