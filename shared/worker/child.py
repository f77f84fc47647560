"""The child process that runs blocking functions, one after the other: `python -m shared.worker.child module:app FD`.

Two processes. The outer one is what `launch` is for a command: its standard input is a socket to the worker, and when that
ends, or the inner process does, it kills all that came of the inner one. It writes `{"status"}` there, how that has ended.

The inner one loads the functions and runs them. It has FD, a socket for the frames of `frames`; functions have not: it is not
inherited by their sub-processes, and a copy of this process, made by `os.fork` or in C, cannot answer for it. What functions
print, and their own sub-processes, goes to stdout and stderr, which is a pipe that the worker reads.
"""

import contextlib
import ctypes
import errno
import os
import resource
import signal
import sys
import threading
from typing import Any

from shared.worker import launch
from shared.worker.child_protocol import (
    ANSWER,
    CLOSED,
    HEAD,
    LIMIT,
    PROGRESS,
    READY,
    Answer,
    Call,
    Raised,
    Returned,
    Stage,
    decode_call,
    frame,
)
from shared.worker.error_text import describe, trace
from shared.worker.functions import App, Task, encode_outputs, load
from shared.worker.leftovers import Leftovers

HIGH = 100
"""The channel's descriptor is not below: what a function opens and closes by number is hardly there."""
BLOCK, MOST = 4 * 1024, 1024 * 1024
"""Bytes of the first and of the further pieces in which a call is read."""


class Channel:
    """The inner process's end of the socket. `progress` may be called from any thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        seen = os.fstat(fd)
        self._place = seen.st_dev, seen.st_ino
        self._owner, self._nonce, self._writing = os.getpid(), 0, False
        self._lock = threading.RLock()
        os.register_at_fork(after_in_child=self._drop)

    def receive(self) -> tuple[int, Call] | None:
        """The next call and its nonce; None when the worker has closed the socket. It sends one when it has the answer to the last."""
        data = b""
        while len(data) < HEAD.size:
            if not (part := os.read(self._fd, BLOCK)):
                return None
            data += part
        nonce, _, length = HEAD.unpack_from(data)
        missing = length - len(data) + HEAD.size
        if not missing:
            self._nonce = nonce
            return nonce, decode_call(memoryview(data)[HEAD.size :])
        parts = [data]
        while missing:
            if not (part := os.read(self._fd, min(missing, MOST))):
                return None
            parts.append(part)
            missing -= len(part)
        self._nonce = nonce
        return nonce, decode_call(memoryview(b"".join(parts))[HEAD.size :])

    def ready(self) -> None:
        """Reports to the worker that the functions are loaded."""
        self._write(HEAD.pack(0, READY, 0))

    def progress(self, nonce: int, fraction: float, message: str) -> None:
        """Sends the progress of the running call; that of another call is dropped, as in a copy of this process."""
        if self.copied:
            return
        with self._lock, contextlib.suppress(OSError):  # a channel that was closed is found out when it answers
            if nonce == self._nonce and not self._writing:  # a signal handler may be called while we write
                self._write(frame(nonce, PROGRESS, Stage(fraction, message)))

    def answer(self, nonce: int, answer: Answer) -> None:
        """Sends the answer: nothing more is sent of this call."""
        try:
            data = frame(nonce, ANSWER, answer)
            if (size := len(data) - HEAD.size) > LIMIT:
                why = f"what it returns and creates has {size} bytes together; of a blocking function it is at most {LIMIT}"
                data = frame(nonce, ANSWER, Raised(why, answer.left))
        except BaseException as error:  # too little memory, for one
            data = frame(nonce, ANSWER, Raised(describe(error), answer.left))
        with self._lock:
            self._nonce = 0
            self._write(data)

    @property
    def copied(self) -> bool:
        """Whether this process is a copy of the one that the channel was made for."""
        return os.getpid() != self._owner

    def _write(self, data: bytes) -> None:
        if not self._is_ours():  # closed by a function; another file may have its number
            raise OSError(errno.EBADF, "the channel was closed")
        self._writing = True
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._fd, left) :]
        finally:
            self._writing = False

    def _is_ours(self) -> bool:
        seen = os.fstat(self._fd)
        return (seen.st_dev, seen.st_ino) == self._place

    def _drop(self) -> None:
        with contextlib.suppress(OSError):
            if self._is_ours():
                os.close(self._fd)


def _run(app: App, call: Call, task: Task) -> tuple[Answer, str]:
    """Runs a call: its answer, and the traceback if it has one."""
    try:
        value = app.functions[call.function].call(task)
        outputs = encode_outputs(value, len(task.undelegated), call.function)
        size = sum(map(len, outputs))
        if size <= LIMIT:
            return Returned(outputs, task.creations), ""
        return Raised(f"{call.function}: return value: {size} bytes; a blocking function returns at most {LIMIT}"), ""
    except BaseException as error:  # SystemExit, KeyboardInterrupt and MemoryError are errors of the task, too
        return Raised(describe(error)), trace(error)


def _print_rest(text: str, leftovers: Leftovers, flush_c: Any) -> None:
    """All that a function has printed is in the pipe before its answer is in the channel."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):  # the function may have closed it, or put something else there
            stream.flush()
    flush_c(None)
    if text and leftovers.prints:
        with contextlib.suppress(OSError):
            os.write(2, text.encode("utf-8", "backslashreplace"))


def _serve(path: str, fd: int) -> None:
    """Runs calls, one after the other, until the worker closes the channel: the inner process."""
    for stream in (sys.stdout, sys.stderr):  # by the line, as in a terminal: it is seen while the task runs
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    channel = Channel(fd)
    flush_c = ctypes.CDLL(None).fflush
    app = load(path)
    leftovers = Leftovers()
    channel.ready()
    while (received := channel.receive()) is not None:
        nonce, call = received
        task = Task(
            call.task, call.attempt, call.payload, call.inputs, call.outputs,
            lambda f, m, nonce=nonce: channel.progress(nonce, f, m),  # type: ignore[misc]
            input_ids=call.input_ids, expected=call.expected, application=call.application,
        )  # fmt: skip
        answer, text = _run(app, call, task)
        if channel.copied:  # the function has forked: only the process that was called answers
            os._exit(0)
        _print_rest(text, leftovers, flush_c)
        answer = _with(answer, leftovers.left())
        try:
            channel.answer(nonce, answer)
        except OSError:
            os._exit(CLOSED)


def _with(answer: Answer, left: str) -> Answer:
    if not left:
        return answer
    return (
        Returned(answer.outputs, answer.creations, left)
        if isinstance(answer, Returned)
        else Raised(answer.message, left)
    )


def _inner(path: str, fd: int, outer: int) -> None:
    os.setsid()
    launch.die_with(outer)
    launch.prctl(launch.SUBREAPER, 1)  # a process that leaves its parent is still found here
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    launch.heed_signals(signal.SIGPIPE, signal.SIGXFSZ)  # Python ignores these two, and functions count on it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.closerange(3, fd)
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    _serve(path, fd)


def main() -> None:
    """The outer process: starts the inner one, and kills all that came of it at the end."""
    path, given, outer = sys.argv[1], int(sys.argv[2]), os.getpid()
    wake = launch.become_reaper()
    fd = launch.lift(given, HIGH)
    try:
        pid = os.fork()
    except OSError as error:
        launch.send(refused=error.strerror)
        return
    if not pid:
        _inner(path, fd, outer)
        return
    os.close(fd)
    launch.hide()
    status, listens = launch.wait(pid, wake)
    status = launch.end(pid, status)
    if listens:
        launch.send(status=status)
    os._exit(0)


if __name__ == "__main__":
    main()
