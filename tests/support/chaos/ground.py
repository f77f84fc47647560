"""One whole system for all chaos tests."""

import shutil
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

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
