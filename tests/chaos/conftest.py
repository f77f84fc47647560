"""One whole system for all of these tests: each leaves it healthy, or the next one gets another."""

from collections.abc import AsyncIterator

import pytest

from tests.support.chaos.ground import Ground
from tests.support.edge import Edge
from tests.support.processes import Processes


@pytest.fixture(scope="package")
async def ground() -> AsyncIterator[Ground]:
    ground = Ground()
    yield ground
    await ground.clear()


@pytest.fixture
async def system(ground: Ground, request: pytest.FixtureRequest) -> AsyncIterator[Processes]:
    failed_before = request.session.testsfailed
    system = await ground.whole()
    await system.until_ready()
    yield system
    if request.session.testsfailed > failed_before:
        await ground.clear()


@pytest.fixture
async def edge(system: Processes) -> AsyncIterator[Edge]:
    async with Edge(system.http, system.token) as edge:
        yield edge
