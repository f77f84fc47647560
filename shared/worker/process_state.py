"""State of the whole process that the code of any task can change: recorded when the worker begins, and restored.

Coroutine functions run in the worker's own process. One that changes the folder, the umask, a limit, a signal's handler or a
standard stream changes it for every other task, and for the worker.
"""

import asyncio
import gc
import locale
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from shared.runtime.log import log

CHECK_INTERVAL = 0.001
"""Seconds in which at most one check before a run is made."""
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_SIGNALS = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2),
    *(signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGCHLD, signal.SIGPIPE),
)


class Setting:
    """One part of that state: how it is read and set, and what it was at first."""

    def __init__(self, name: str, read: Callable[[], Any], write: Callable[[Any], object]) -> None:
        self.name, self._read, self._write = name, read, write
        self._first = read()

    def restore(self) -> bool:
        """Restores its first value; returns whether it was another. Raises if it cannot be restored."""
        try:
            if self._read() == self._first:
                return False
        except OSError:  # the folder that somebody has gone to does not exist
            pass
        self._write(self._first)
        return True


class ProcessState:
    """The state of this process when this is made. To be made and called in the main thread."""

    def __init__(self) -> None:
        self._quick = [
            Setting("folder", os.getcwd, os.chdir),
            Setting("umask", _umask, os.umask),
            _limit("RLIMIT_NOFILE"),
        ]
        self._settings = [
            *self._quick,
            *(_stream(name) for name in ("stdin", "stdout", "stderr")),
            *(_limit(name) for name in dir(resource) if name.startswith("RLIMIT_") and name != "RLIMIT_NOFILE"),
            Setting("recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
            Setting("switch interval", sys.getswitchinterval, sys.setswitchinterval),
            Setting("collector", gc.get_threshold, lambda threshold: gc.set_threshold(*threshold)),
            Setting("collecting", gc.isenabled, lambda enabled: gc.enable() if enabled else gc.disable()),
            Setting("socket timeout", socket.getdefaulttimeout, socket.setdefaulttimeout),
            Setting("locale", _locale, lambda name: locale.setlocale(locale.LC_ALL, name)),
            Setting("event loop policy", asyncio.get_event_loop_policy, asyncio.set_event_loop_policy),
        ]
        if threading.current_thread() is threading.main_thread():
            self._settings += [_handler(number) for number in _SIGNALS if signal.getsignal(number) is not None]
            self._settings += [_timer(number) for number in _TIMERS if signal.getitimer(number) == (0.0, 0.0)]
        self._looked, self._stdout, self._stderr = 0.0, sys.stdout, sys.stderr
        self._lost: set[str] = set()

    def before_run(self, now: float) -> None:
        """Restores what a task is most likely to need: standard streams, working directory, umask, limit of descriptors.

        now   time.monotonic()
        """
        if sys.stdout is not self._stdout or sys.stderr is not self._stderr:
            self.restore()
        elif now > self._looked + CHECK_INTERVAL:
            self._looked = now
            self._restore(self._quick)

    def restore(self) -> None:
        """Restores all of it, in about 50 µs: not before each run."""
        self._restore(self._settings)

    def _restore(self, settings: list[Setting]) -> None:
        for setting in settings:
            try:
                if setting.name not in self._lost and setting.restore():
                    log.warning("worker.process_restored", what=setting.name)
            except (OSError, ValueError, RecursionError, locale.Error) as error:
                self._lost.add(setting.name)
                log.error("worker.process_changed", what=setting.name, error=repr(error))


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _locale() -> str:
    return locale.setlocale(locale.LC_ALL)


def _stream(name: str) -> Setting:
    return Setting(name, lambda: getattr(sys, name), lambda stream: setattr(sys, name, stream))


def _limit(name: str) -> Setting:
    number = getattr(resource, name)
    return Setting(name, lambda: resource.getrlimit(number), lambda limit: resource.setrlimit(number, limit))


def _handler(number: signal.Signals) -> Setting:
    return Setting(number.name, lambda: signal.getsignal(number), lambda handler: signal.signal(number, handler))


def _timer(number: int) -> Setting:
    return Setting(
        f"timer {number}", lambda: signal.getitimer(number)[0], lambda seconds: signal.setitimer(number, seconds)
    )
