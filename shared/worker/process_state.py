"""What belongs to the whole process and any task's code can change: taken down when the worker begins, and put back after it.

Coroutine functions run in the worker's own process. One that changes the folder, the umask, a limit, a signal's handler or a
standard stream changes it for every other task, and for the worker.
"""

import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from shared.runtime.log import log

EVERY = 0.005
"""Seconds in which it is looked at most once."""
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_SIGNALS = [number for number in signal.Signals if number not in (signal.SIGKILL, signal.SIGSTOP)]


class Setting:
    """One of them: how it is read and set. It is put back if it is not as it was at first."""

    def __init__(self, name: str, read: Callable[[], Any], write: Callable[[Any], object]) -> None:
        self.name, self._read, self._write = name, read, write
        self._first = read()

    def restore(self) -> bool:
        """Whether it had been changed. OSError or ValueError if it cannot be put back."""
        try:
            if self._read() == self._first:
                return False
        except OSError:  # the folder that somebody has gone to does not exist
            pass
        self._write(self._first)
        return True


class ProcessState:
    """Call it after a task's code has run. In the main thread."""

    def __init__(self) -> None:
        self._settings = [
            Setting("folder", os.getcwd, os.chdir),
            Setting("umask", _umask, os.umask),
            *(_stream(name) for name in ("stdin", "stdout", "stderr")),
            *(_limit(name) for name in dir(resource) if name.startswith("RLIMIT_")),
        ]
        if threading.current_thread() is threading.main_thread():
            self._settings += [_handler(number) for number in _SIGNALS if signal.getsignal(number) is not None]
            self._settings += [_timer(number) for number in _TIMERS if signal.getitimer(number) == (0.0, 0.0)]
        self._looked = 0.0
        self._lost: set[str] = set()

    def restore(self) -> None:
        now = time.monotonic()
        if now < self._looked + EVERY:
            return
        self._looked = now
        for setting in self._settings:
            try:
                if setting.name not in self._lost and setting.restore():
                    log.warning("worker.process_restored", what=setting.name)
            except (OSError, ValueError) as error:
                self._lost.add(setting.name)
                log.error("worker.process_changed", what=setting.name, error=repr(error))


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


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
