"""sys.stdout and sys.stderr of a worker: what a coroutine function writes to them is its task's, the rest passes through.

Which task it is of is in a context variable, which the functions' own asyncio tasks and `asyncio.to_thread` inherit. What writes to
the file descriptors past these streams (C code, sub-processes of a coroutine function) is not seen here.
"""

import contextlib
import io
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, TextIO

from shared.worker.log_buffer import LogBuffer

current: ContextVar[LogBuffer | None] = ContextVar("log_buffer", default=None)
"""The log buffer of the task whose code runs in this context; None outside of tasks."""

_NAMES = ("stdout", "stderr")
_used = 0
"""Agents that run in this process: the streams are put in place for the first and taken away after the last."""


class _Routed(io.RawIOBase):
    """The bytes of a stream. `before`: where they went before."""

    def __init__(self, before: TextIO) -> None:
        self.before = before

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        given = bytes(data)
        log_buffer = current.get()
        if log_buffer is None or not log_buffer.write(given):
            self._pass(given)
        return len(given)

    def _pass(self, data: bytes) -> None:
        buffer = getattr(self.before, "buffer", None)
        if buffer is None:
            self.before.write(data.decode("utf-8", "replace"))
        else:
            buffer.write(data)
        self.before.flush()

    def flush(self) -> None:
        if not self.before.closed:
            self.before.flush()

    def fileno(self) -> int:
        return self.before.fileno()

    def close(self) -> None:
        """Stays open: it is not one task's to close."""
        self.flush()

    def isatty(self) -> bool:
        return current.get() is None and self.before.isatty()


class _Stream(io.TextIOWrapper):
    """All that a text stream can do, over `_Routed`; every write goes on at once, in the writer's own context."""

    def __init__(self, before: TextIO) -> None:
        super().__init__(_Routed(before), "utf-8", "backslashreplace", newline="", write_through=True)  # type: ignore[arg-type]
        self.before = before

    def close(self) -> None:
        """Stays open: it is not one task's to close."""
        self.flush()

    def detach(self) -> Any:
        raise io.UnsupportedOperation("the stream is the worker's")


@contextlib.contextmanager
def captured_streams() -> Iterator[None]:
    """Replaces sys.stdout and sys.stderr for the block. Who has a reference to the old ones (our log) goes on with those."""
    global _used
    if not _used:
        sys.stdout, sys.stderr = _Stream(sys.stdout), _Stream(sys.stderr)
    _used += 1
    try:
        yield
    finally:
        _used -= 1
        for name in _NAMES if not _used else ():
            if isinstance(stream := getattr(sys, name), _Stream):  # or else somebody has put another there
                setattr(sys, name, stream.before)
