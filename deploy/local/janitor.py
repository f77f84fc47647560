"""Stops the children of a supervisor that is gone: crashed, or killed with SIGKILL.

The supervisor starts this file as a process of its own and holds the other end of its standard input; it says which
process groups there are. End of file means that the supervisor is gone. If there is anything left then, it is stopped:
tier by tier (workers, services, servers), each group with its own signal, and with SIGKILL when its time is over.

It inherits the home's lock, so a second run cannot start before the first one's servers have ended.

Lines: `watch <group> <tier> <signal> <seconds>` and `forget <group>`. Runs with the standard library alone.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import IO

POLL = 0.05


class Janitor:
    """The supervisor's side: starts the janitor, and lets it know which process groups there are."""

    def __init__(self, lock_fd: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[lock_fd],
            start_new_session=True,  # Ctrl-C in the terminal is not for it
            text=True,
        )
        assert self._process.stdin is not None
        self._pipe: IO[str] = self._process.stdin

    def watch(self, group: int, tier: int, number: int, seconds: float) -> None:
        """Adds a process group: stopped in the order of tiers by signal `number`, and by SIGKILL after `seconds`."""
        self._send(f"watch {group} {tier} {number} {seconds}")

    def forget(self, group: int) -> None:
        """Removes a process group that has ended."""
        self._send(f"forget {group}")

    def close(self) -> None:
        """Ends it; it stops first whatever it still knows."""
        self._pipe.close()
        self._process.wait()

    def _send(self, line: str) -> None:
        self._pipe.write(line + "\n")
        self._pipe.flush()


def alive(group: int) -> bool:
    """Whether any process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def clean(children: dict[int, tuple[int, int, float]]) -> None:
    """Stops the groups, tier by tier."""
    for tier in sorted({tier for tier, _, _ in children.values()}):
        groups = {group: rest for group, rest in children.items() if rest[0] == tier}
        for group, (_, number, _) in groups.items():
            _signal(group, number)
        began = time.monotonic()
        while left := {group: rest for group, rest in groups.items() if alive(group)}:
            for group, (_, _, seconds) in left.items():
                if time.monotonic() - began > seconds:
                    _signal(group, signal.SIGKILL)
            time.sleep(POLL)


def main(lines: IO[str]) -> None:
    """The janitor itself: reads lines until the supervisor is gone, then stops what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    children: dict[int, tuple[int, int, float]] = {}
    for line in lines:
        word, group, *rest = line.split()
        if word == "watch":
            children[int(group)] = (int(rest[0]), int(rest[1]), float(rest[2]))
        else:
            children.pop(int(group), None)
    clean(children)


if __name__ == "__main__":
    main(sys.stdin)
