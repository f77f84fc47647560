"""A process of ours is killed in the middle of 5,000 tasks; somebody starts it again."""

import pytest

from shared.contracts.subjects import SERVICES
from tests.support.chaos.ground import APP, SLOTS
from tests.support.chaos.mix import Mix
from tests.support.chaos.run import running
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


async def test_the_schedulers_are_killed_again_and_again(system: Processes, edge: Edge) -> None:
    mix = Mix.whole()
    async with running(system, edge, mix.lines) as run:
        for fraction, one in ((0.05, "scheduler"), (0.3, "scheduler-2"), (0.6, "scheduler")):
            await run.middle(fraction)
            await system.kill(one)
            await system.restart(one)
        await run.done()
        await run.counted(mix)


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
