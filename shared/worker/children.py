"""Child processes for blocking functions: kept while they behave, killed when their task is cancelled or takes too long.

One is kept only if the function has left nothing behind in it: no process, no thread, nothing changed that the next one would
find. Whatever came of a task is dead when the task ends.
"""

import asyncio
import os
import sys
from collections.abc import Callable

from shared.runtime.log import log
from shared.worker.channel import Channel, Ended, Garbled
from shared.worker.describe import TaskError
from shared.worker.frames import CLOSED, Call, Raised, Returned
from shared.worker.printed import Printed
from shared.worker.shortage import Unwell, spare_descriptors, words
from shared.worker.spawned import Spawned, ending, environment, socket_pair
from shared.worker.tap import Tap

PATIENCE = 5.0
"""Seconds in which all that came of a task must have died of SIGKILL."""
RESERVE = 20
"""Descriptors that must be left to start a child: it needs 6 of them for a moment, and 3 as long as it lives."""
START = 300.0
"""Seconds in which a child must have loaded the functions."""


class Lost(Exception):
    """The attempt counts: the process that ran the task has died, or its inputs do not fit the disk of this worker."""


class Child:
    """A process, the channel to it, and the pipe of what is printed in it."""

    def __init__(self, process: Spawned, channel: Channel, tap: Tap) -> None:
        self.process, self.channel, self.tap = process, channel, tap

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
            self.tap.close()


class Children:
    """A pool that grows to as many children as tasks run at once."""

    def __init__(self, app: str) -> None:
        self._app = app
        self._idle: list[Child] = []
        self._leaving: set[asyncio.Task[None]] = set()

    async def run(self, call: Call, progress: Callable[[float, str], None], printed: Printed) -> Returned:
        """Runs a call in a child; killed when cancelled. `printed` has got all that it printed, whatever becomes of it.

        TaskError if the function raised or spoiled the process, Lost if the process died, Unwell if there can be none.
        """
        child = self._usable() or await self._spawn()
        child.tap.begin(printed)
        kept = False
        try:
            answer = await child.channel.call(call, progress)
            child.tap.end()
            kept = not answer.left
            if answer.left:
                log.info("worker.child_replaced", function=call.function, left=answer.left)
        except Ended:
            status = await child.status()
            if status == CLOSED:
                raise TaskError(f"{call.function} has closed descriptors that are not its own") from None
            raise Lost(f"the process that ran it {ending(status)}") from None
        except Garbled as error:
            raise TaskError(f"{call.function} wrote to descriptors that are not its own: {error}") from None
        finally:
            if kept and child.channel.usable:
                self._idle.append(child)
            else:
                await self._leave(child)
        if isinstance(answer, Raised):
            raise TaskError(answer.message)
        return answer

    async def probe(self) -> None:
        """Starts a child, and keeps it for the next task. Unwell if that does not go."""
        self._idle.append(self._usable() or await self._spawn())

    async def close(self) -> None:
        while self._idle:
            self._leave(self._idle.pop())
        while self._leaving:
            await asyncio.gather(*self._leaving)

    def _usable(self) -> Child | None:
        """An idle child. One that has died meanwhile, or has spoken without being asked, is none."""
        while self._idle:
            child = self._idle.pop()
            if child.channel.usable:
                return child
            self._leave(child)
        return None

    def _leave(self, child: Child) -> "asyncio.Future[None]":
        """Kills it; goes on even if who waits for that is cancelled."""
        leaving = asyncio.create_task(child.kill())
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        return asyncio.shield(leaving)

    async def _spawn(self) -> Child:
        try:
            child = await _start(self._app)
        except OSError as error:
            raise self._unwell(words(error)) from None
        try:
            async with asyncio.timeout(START):
                await child.channel.ready
        except (Ended, Garbled):
            raise self._unwell(await self._why(child)) from None
        except TimeoutError:
            self._leave(child)
            raise self._unwell(f"it is not ready after {START:g} s") from None
        except BaseException:
            self._leave(child)
            raise
        return child

    def _unwell(self, why: str) -> Unwell:
        return Unwell(f"no child process can be started: {why}", self.probe)

    async def _why(self, child: Child) -> str:
        """Of a child that has ended before it could do anything."""
        message = await child.process.receive() or {}
        why = message.get("refused") or f"it {ending(message.get('status', 1))}"
        child.tap.end()
        last = child.tap.last
        await self._leave(child)
        return f"{why}: {last}" if last else str(why)


async def _start(app: str) -> Child:
    spare_descriptors(RESERVE)
    reads, writes = os.pipe()
    ours = theirs = None
    try:
        ours, theirs = socket_pair()
        process = await Spawned.start(
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
        return Child(process, channel, Tap(reads))
    except BaseException:
        process.close()
        ours.close()
        os.close(reads)
        raise
