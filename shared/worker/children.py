"""Child processes for blocking functions: kept while they behave, killed when their task is cancelled or takes too long.

Each leads a session of its own, so that the processes that a function started are killed with it.
"""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable

from shared.worker.child import LENGTH, Call, Raised, Returned, decode_answer, frame
from shared.worker.functions import TaskError
from shared.worker.printed import Printed
from shared.worker.tap import Tap

LARGE = 1024 * 1024


class Lost(Exception):
    """The child process died under the task."""


class Child:
    """A process, and the pipe of what is printed in it."""

    def __init__(self, process: Process, tap: Tap) -> None:
        self.process, self.tap = process, tap

    async def kill(self) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        try:
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            self.process.stdin.close()
            while await self.process.stdout.read(
                LARGE
            ):  # an answer that nobody took: before its end `wait` does not return
                pass
            await self.process.wait()
        finally:
            self.tap.close()


class Children:
    """A pool that grows to as many children as tasks run at once."""

    def __init__(self, app: str) -> None:
        self._app = app
        self._idle: list[Child] = []

    async def run(self, call: Call, progress: Callable[[float, str], None], printed: Printed) -> Returned:
        """Runs a call in a child. TaskError if the function raised, Lost if the child died; killed when cancelled.

        Whatever becomes of it, `printed` has got all that it printed.
        """
        child = self._idle.pop() if self._idle else await self._spawn()
        kept = False
        child.tap.begin(printed)
        try:
            returned = await self._converse(child.process, call, progress)
            kept = True
            return returned
        except TaskError:
            kept = True
            raise
        except (asyncio.IncompleteReadError, BrokenPipeError, ConnectionResetError):
            raise Lost(f"the process that ran it ended with status {await child.process.wait()}") from None
        finally:
            if kept and child.process.returncode is None:
                child.tap.end()
                self._idle.append(child)
            else:
                await child.kill()

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().kill()

    async def _spawn(self) -> Child:
        reads, writes = os.pipe()
        # What opens the bus and the storage to the worker is of no use to functions.
        env = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "shared.worker.child", self._app, str(os.getpid())),
                stdin=PIPE, stdout=PIPE, stderr=writes, env=env, start_new_session=True,
            )  # fmt: skip
        except BaseException:
            os.close(reads)
            raise
        finally:
            os.close(writes)
        return Child(process, Tap(reads))

    async def _converse(self, child: Process, call: Call, progress: Callable[[float, str], None]) -> Returned:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(frame(call))
        await child.stdin.drain()
        while True:
            (length,) = LENGTH.unpack(await child.stdout.readexactly(LENGTH.size))
            answer = decode_answer(await child.stdout.readexactly(length))
            if isinstance(answer, Returned):
                return answer
            if isinstance(answer, Raised):
                raise TaskError(answer.message)
            progress(answer.fraction, answer.message)
