"""One whole system for all of these tests: each leaves it healthy, or the next one gets another."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.edge import Edge
from tests.support.processes import Processes

APP = "tests.support.functions:app"
WORKERS = 2
SCHEDULERS = 2
SLOTS = 8


class Ground:
    """The system, made when it is first asked for, and anew after a test that failed."""

    def __init__(self) -> None:
        self._stack: AsyncExitStack | None = None
        self.system: Processes | None = None

    async def whole(self) -> Processes:
        if self.system is None:
            self._stack = AsyncExitStack()
            folder = Path(tempfile.mkdtemp(prefix="headrace-chaos-"))
            folder.chmod(0o711)
            self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
            self.system = await self._stack.enter_async_context(Processes(folder / "home"))
            await self.system.start(workers=WORKERS, app=APP, slots=SLOTS, schedulers=SCHEDULERS)
        return self.system

    async def clear(self) -> None:
        stack, self._stack, self.system = self._stack, None, None
        if stack is not None:
            await stack.aclose()


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
