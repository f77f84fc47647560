"""Child processes for blocking functions: kept while they behave, killed when their task is cancelled or takes too long."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable

from shared.worker.child import LENGTH, Call, Raised, Returned, decode_answer, frame
from shared.worker.functions import TaskError


class Lost(Exception):
    """The child process died under the task."""


class Children:
    """A pool that grows to as many children as tasks run at once."""

    def __init__(self, app: str) -> None:
        self._app = app
        self._idle: list[Process] = []

    async def run(self, call: Call, progress: Callable[[float, str], None]) -> list[bytes]:
        """Runs a call in a child. TaskError if the function raised, Lost if the child died; killed when cancelled."""
        child = self._idle.pop() if self._idle else await self._spawn()
        kept = False
        try:
            outputs = await self._converse(child, call, progress)
            kept = True
            return outputs
        except TaskError:
            kept = True
            raise
        except (asyncio.IncompleteReadError, BrokenPipeError, ConnectionResetError):
            raise Lost(f"the process that ran it ended with status {await child.wait()}") from None
        finally:
            if kept and child.returncode is None:
                self._idle.append(child)
            elif child.returncode is None:
                child.kill()
                await child.wait()

    async def close(self) -> None:
        for child in self._idle:
            if child.returncode is None:
                child.kill()
            await child.wait()
        self._idle.clear()

    async def _spawn(self) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "shared.worker.child", self._app, stdin=PIPE, stdout=PIPE
        )

    async def _converse(self, child: Process, call: Call, progress: Callable[[float, str], None]) -> list[bytes]:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(frame(call))
        await child.stdin.drain()
        while True:
            (length,) = LENGTH.unpack(await child.stdout.readexactly(LENGTH.size))
            answer = decode_answer(await child.stdout.readexactly(length))
            if isinstance(answer, Returned):
                return answer.outputs
            if isinstance(answer, Raised):
                raise TaskError(answer.message)
            progress(answer.fraction, answer.message)
