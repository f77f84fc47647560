"""A process of the worker's own whose standard input is a socket to us: JSON lines go both ways, and its end ends the process.

`subprocess` and not the loop's own way: that gives to each sub-process the descriptors of the others (uvloop), or needs a
thread for each (asyncio), which a worker at its limits does not get.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Self

import msgspec


class LineProcess:
    """Made by `start`. It has ended when `receive` returns None; then `wait` is quick, and has to be called."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process, self._reader, self._writer = process, reader, writer

    @classmethod
    async def start(
        cls, command: Sequence[str], *, stdout: int, stderr: int, env: Mapping[str, str], pass_fds: Sequence[int] = ()
    ) -> Self:
        """Starts a process in a session of its own, with no other descriptors than these. OSError if it cannot be started."""
        process, ours = _open(command, stdout, stderr, env, pass_fds)
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def receive(self) -> dict[str, Any] | None:
        """The next line, decoded; None when it has ended."""
        try:
            line = await self._reader.readline()
        except ConnectionError:  # it has died with something from us unread
            line = b""
        return msgspec.json.decode(line, type=dict[str, Any]) if line else None

    async def send(self, data: bytes) -> None:
        """Sends bytes; nothing happens if the process has ended."""
        with contextlib.suppress(ConnectionError):  # it has died: `receive` returns None
            self._writer.write(data)
            await self._writer.drain()

    def close(self) -> None:
        """Closes its input, which ends it; continues it first, in case that it was stopped (SIGSTOP)."""
        self._process.send_signal(signal.SIGCONT)
        with contextlib.suppress(OSError, RuntimeError):  # uvloop: it has died, and `wait` has closed our end
            self._writer.write_eof()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    async def wait(self) -> int:
        """Its status, minus the number of the signal that killed it."""
        pause = 0.001
        while (status := self._process.poll()) is None:
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.05)
        self._writer.close()
        return status


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets; the second is for another process, which waits when it reads.

    A default time-out, which the code of a task may just have set, would make it fail instead.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(True)
    return ours, theirs


def _open(
    command: Sequence[str], stdout: int, stderr: int, env: Mapping[str, str], pass_fds: Sequence[int]
) -> "tuple[subprocess.Popen[bytes], socket.socket]":
    """The process and our end of its standard input. Blocks for about a millisecond."""
    ours, theirs = socket_pair()
    try:
        with theirs:
            process = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=stdout, stderr=stderr, env=env, pass_fds=pass_fds,
                start_new_session=True,
            )  # fmt: skip
    except BaseException:
        ours.close()
        raise
    return process, ours


def ending(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"ended with status {status}"
    return f"was killed by {signal_name(-status)} (status {status})"


def signal_name(number: int) -> str:
    """`SIGTERM` for 15; `signal 40` for one without a name."""
    names = {int(each): each.name for each in signal.Signals}
    return names.get(number, f"signal {number}")


def environment() -> dict[str, str]:
    """Our environment without HEADRACE_ variables: a child process must not have what opens the bus and the storage."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
