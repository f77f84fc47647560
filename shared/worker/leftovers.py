"""What a function leaves behind in its process: sub-processes, threads, and changes of what all code in a process shares.

Compared after each call with what was before the first, in about 10 µs. It is no proof that nothing was changed (a function may
rewrite any module); it is what a function that ends badly, or was written for a process of its own, is likely to change.
"""

import _locale
import _signal  # type: ignore[import-not-found]  # without the wrappers that make enums: ten times as quick
import _socket
import _thread
import contextlib
import gc
import os
import resource
import sys
from typing import Any

from shared.worker.launch import children

SPARE = 64
"""Descriptors that functions may leave open in their process: connections that they keep, for one."""
_SIGNALS = range(1, 32)
_LIMITS = tuple(getattr(resource, f"RLIMIT_{name}") for name in ("NOFILE", "AS", "CPU", "FSIZE", "NPROC", "STACK"))
_processors = getattr(os, "sched_getaffinity", lambda pid: None)  # Linux
_NAMES = (
    *("sys.stdout", "sys.stderr", "standard output", "standard error", "the working directory", "the umask"),
    *("resource limits", "signal handlers", "blocked signals", "a timer", "the environment", "the priority"),
    *("the processors", "the locale", "the event loop's policy", "the recursion limit", "a trace function"),
    *("a profile function", "the collector of cycles", "the default time-out of sockets"),
)
"""Names of the parts of a snapshot, in order."""


class Leftovers:
    """What this process was like when this was made; `left` compares."""

    def __init__(self) -> None:
        self._helpers, self._threads, self._before = set(children()), _thread._count(), _snapshot()
        self._lowest = _lowest()

    @property
    def prints(self) -> bool:
        """Whether the descriptors of standard output and error are still what they were."""
        return (_place(1), _place(2)) == self._before[2:4]

    def left(self) -> str:
        """What is there now that was not there before, in words; empty if there is nothing."""
        try:
            if self._sub_processes():
                return "processes that still run"
            if _thread._count() > self._threads:
                return "threads that still run"
            now = _snapshot()
            if now != self._before:
                return next(name for name, was, here in zip(_NAMES, self._before, now, strict=True) if was != here)
            if sys.stdout.closed or sys.stderr.closed:
                return "a closed sys.stdout or sys.stderr"
            return "open descriptors" if _lowest() > self._lowest + SPARE else ""
        except BaseException as error:
            return f"a process that cannot be examined: {type(error).__name__}"

    def _sub_processes(self) -> bool:
        """Whether a sub-process lives that was not there before. Those that have ended are reaped."""
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return False
        return bool(set(children()) - self._helpers)


def _snapshot() -> tuple[Any, ...]:
    mask = os.umask(0o077)
    os.umask(mask)
    return (
        sys.stdout,
        sys.stderr,
        _place(1),
        _place(2),
        _folder(),
        mask,
        [*map(resource.getrlimit, _LIMITS)],
        [*map(_signal.getsignal, _SIGNALS)],
        _signal.pthread_sigmask(0, ()),
        any(_signal.getitimer(0)),
        os.environ._data.copy(),  # type: ignore[attr-defined]
        os.getpriority(0, 0),
        _processors(0),
        _locale.setlocale(_locale.LC_ALL),
        _policy(),
        sys.getrecursionlimit(),
        sys.gettrace(),
        sys.getprofile(),
        gc.isenabled(),
        _socket.getdefaulttimeout(),
    )


def _place(fd: int) -> object:
    """Which file a descriptor is of: its inode and device."""
    try:
        return os.fstat(fd)[1:3]
    except OSError:
        return None


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""


def _policy() -> object:
    """The event loop's, by its class; the default one is made when it is first needed."""
    if (events := sys.modules.get("asyncio.events")) is None:
        return None
    policy = events._event_loop_policy
    return None if type(policy) is getattr(sys.modules.get("asyncio"), "DefaultEventLoopPolicy", None) else type(policy)


def _lowest() -> int:
    """The lowest descriptor that is free."""
    with contextlib.suppress(OSError):
        found = os.dup(0)
        os.close(found)
        return found
    return 1 << 30
