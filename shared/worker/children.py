"""Child processes for blocking functions: kept while they behave, killed when their task is cancelled or takes too long.

One is kept only if the function has left nothing behind in it: no process, no thread, nothing changed that the next one would
find. Whatever came of a task is dead when the task ends.
"""

import asyncio
import os
import sys
from collections.abc import Callable

from shared.runtime.log import log
from shared.worker.channel import Channel, ChannelClosed, ProtocolError
from shared.worker.child_protocol import CLOSED, Call, Raised, Returned
from shared.worker.error_text import TaskError
from shared.worker.line_process import LineProcess, ending, environment, socket_pair
from shared.worker.log_buffer import LogBuffer
from shared.worker.output_pipe import OutputPipe
from shared.worker.shortage import ResourceShortage, shortage_text, spare_descriptors

PATIENCE = 5.0
"""Seconds in which all that came of a task must have died of SIGKILL."""
RESERVE = 20
"""Descriptors that must be left to start a child: it needs 6 of them for a moment, and 3 as long as it lives."""
START = 300.0
"""Seconds in which a child must have loaded the functions."""


class AttemptLost(Exception):
    """The attempt counts, and is reported as `lost`: its process has died, or its inputs do not fit the disk of this worker."""


class Child:
    """One child: its process, the channel to it, and the pipe of its output."""

    def __init__(self, process: LineProcess, channel: Channel, output: OutputPipe) -> None:
        self.process, self.channel, self.output = process, channel, output

    async def status(self) -> int:
        """How the inner process has ended, which has closed the channel; of the outer one, if that has died."""
        try:
            async with asyncio.timeout(PATIENCE):
                message = await self.process.receive()
        except TimeoutError:  # it goes on without the channel
            return CLOSED
        return await self.process.wait() if message is None else int(message.get("status", 0))

    async def kill(self) -> None:
        """Returns when nothing lives that came of it."""
        try:
            self.process.close()
            try:
                async with asyncio.timeout(PATIENCE):
                    while await self.process.receive() is not None:
                        pass
            except TimeoutError:
                log.warning("worker.child_lives", pid=self.process.pid)
                self.process.kill()
            await self.process.wait()
        finally:
            self.channel.close()
            self.output.close()


class Children:
    """A pool that grows to as many children as tasks run at once. `idle`: those that no task runs in."""

    def __init__(self, app: str) -> None:
        self._app = app
        self.idle: list[Child] = []
        self._ending: set[asyncio.Task[None]] = set()

    async def run(self, call: Call, progress: Callable[[float, str], None], log_buffer: LogBuffer) -> Returned:
        """Runs a call in a child; killed when cancelled. `log_buffer` has all that it printed, whatever becomes of it.

        TaskError if the function raised or misused the process, AttemptLost if the process died, ResourceShortage if none can be started.
        """
        child = self._usable() or await self.start_child()
        child.output.begin(log_buffer)
        kept = False
        try:
            answer = await child.channel.call(call, progress)
            child.output.end()
            kept = not answer.left
            if answer.left:
                log.info("worker.child_replaced", function=call.function, left=answer.left)
        except ChannelClosed:
            status = await child.status()
            if status == CLOSED:
                raise TaskError(f"{call.function} has closed descriptors that are not its own") from None
            raise AttemptLost(f"the process that ran it {ending(status)}") from None
        except ProtocolError as error:
            raise TaskError(f"{call.function} wrote to descriptors that are not its own: {error}") from None
        finally:
            if kept and child.channel.usable:
                self.idle.append(child)
            else:
                await self._end(child)
        if isinstance(answer, Raised):
            raise TaskError(answer.message)
        return answer

    async def probe(self) -> None:
        """Starts a child, and keeps it for the next task. ResourceShortage if that fails."""
        self.idle.append(self._usable() or await self.start_child())

    async def close(self) -> None:
        """Kills all children that are idle, and waits until they have ended."""
        while self.idle:
            self._end(self.idle.pop())
        while self._ending:
            await asyncio.gather(*self._ending)

    def _usable(self) -> Child | None:
        """An idle child. One that has died meanwhile, or has spoken without being asked, is none."""
        while self.idle:
            child = self.idle.pop()
            if child.channel.usable:
                return child
            self._end(child)
        return None

    def _end(self, child: Child) -> "asyncio.Future[None]":
        """Kills it; goes on even if who waits for that is cancelled."""
        killing = asyncio.create_task(child.kill())
        self._ending.add(killing)
        killing.add_done_callback(self._ending.discard)
        return asyncio.shield(killing)

    async def start_child(self) -> Child:
        """A new child that has loaded the functions. ResourceShortage if it cannot be started, or is not ready in time."""
        try:
            child = await _start(self._app)
        except OSError as error:
            raise self._shortage(shortage_text(error)) from None
        try:
            async with asyncio.timeout(START):
                await child.channel.ready
        except (ChannelClosed, ProtocolError):
            raise self._shortage(await self._start_error(child)) from None
        except TimeoutError:
            self._end(child)
            raise self._shortage(f"it is not ready after {START:g} s") from None
        except BaseException:
            self._end(child)
            raise
        return child

    def _shortage(self, reason: str) -> ResourceShortage:
        return ResourceShortage(f"no child process can be started: {reason}", self.probe)

    async def _start_error(self, child: Child) -> str:
        """Why a child has ended before it was ready: the reason that it sent, and the last line that it printed."""
        message = await child.process.receive() or {}
        why = message.get("refused") or f"it {ending(message.get('status', 1))}"
        child.output.end()
        last = child.output.last_line
        await self._end(child)
        return f"{why}: {last}" if last else str(why)


async def _start(app: str) -> Child:
    spare_descriptors(RESERVE)
    reads, writes = os.pipe()
    ours = theirs = None
    try:
        ours, theirs = socket_pair()
        process = await LineProcess.start(
            [sys.executable, "-m", "shared.worker.child", app, str(theirs.fileno())],
            stdout=writes, stderr=writes, env=environment(), pass_fds=[theirs.fileno()],
        )  # fmt: skip
    except BaseException:
        os.close(reads)
        if ours is not None:
            ours.close()
        raise
    finally:
        os.close(writes)
        if theirs is not None:
            theirs.close()
    try:
        _, channel = await asyncio.get_running_loop().create_unix_connection(Channel, sock=ours)
        return Child(process, channel, OutputPipe(reads))
    except BaseException:
        process.close()
        ours.close()
        os.close(reads)
        raise
