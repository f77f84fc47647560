"""The pipe that a child process has as its stdout and stderr: what comes while a task runs is the task's.

What comes before the first task (a module that prints when it is loaded) passes to the worker's stderr. What comes after a task
has ended is dropped and counted: it is of something that the task left behind.
"""

import asyncio
import contextlib
import os
from typing import Protocol

from shared.runtime.log import log
from shared.runtime.plain import plain

BLOCK = 64 * 1024
PAUSE = 0.002
"""Seconds between two readings: at most 32 MB/s, for 1/20 of a core."""
CAPACITY = 1024 * 1024
"""The most that a pipe can hold, unless root has made it larger: so much may have been written before the task's end."""

KEPT_AT_START = 2000
"""Bytes that are kept of what came before the first task."""


class OutputSink(Protocol):
    """Takes what is printed: a `LogBuffer`, or something before it."""

    def write(self, data: bytes) -> bool: ...


class OutputPipe:
    """Reads the pipe `fd`: what comes between `begin` and `end` goes to the task's sink. `late`: bytes that came after, dropped."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._sink: OutputSink | None = None
        self._used, self._at_start = False, b""
        self.late = 0
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._readable)

    def begin(self, sink: OutputSink) -> None:
        """What comes from now on goes to `sink`."""
        self._read()
        self._sink, self._used = sink, True

    def end(self) -> None:
        """Ends the task's output: reads what it printed before its answer. What comes later is dropped."""
        left = CAPACITY
        while left > 0 and (n := self._read()):
            left -= n
        self._sink = None

    def close(self) -> None:
        """Closes the pipe of a child that has ended; its own sub-processes may live and still write."""
        self.end()
        self._stop()
        os.close(self._fd)
        if self.late:
            log.info("worker.late_output", bytes=self.late)

    @property
    def last_line(self) -> str:
        """The last line of what came before the first task."""
        return plain(self._at_start.decode("utf-8", "replace").strip().rpartition("\n")[2])

    def _readable(self) -> None:
        """Reads one block at most, then pauses: a flood of output leaves the loop to others, and each line does not wake it."""
        if self._read():
            self._loop.remove_reader(self._fd)
            self._pause = self._loop.call_later(PAUSE, self._loop.add_reader, self._fd, self._readable)

    def _read(self) -> int:
        """Reads one block; returns its size."""
        try:
            data = os.read(self._fd, BLOCK)
        except BlockingIOError:
            return 0
        if not data:  # nobody has the other end any more
            self._stop()
        elif not self._used:
            self._at_start = (self._at_start + data)[-KEPT_AT_START:]
            _pass(data)
        elif self._sink is None or not self._sink.write(data):
            self.late += len(data)
        return len(data)

    def _stop(self) -> None:
        self._loop.remove_reader(self._fd)
        if self._pause is not None:
            self._pause.cancel()


def _pass(data: bytes) -> None:
    """To the worker's own stderr, where the child's would have gone."""
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(2, data) :]
