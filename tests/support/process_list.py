"""Processes of this machine: which are there, and the signals that this one ignores."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path


def named(mark: str) -> list[int]:
    """The processes that have a mark among their arguments."""
    return list(_named(mark))


def _named(mark: str) -> Iterator[int]:
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):
                if mark.encode() in (path / "cmdline").read_bytes().split(b"\0"):
                    yield int(path.name)


@contextlib.contextmanager
def ignored(*numbers: signal.Signals) -> Iterator[None]:
    """Signals that this process ignores or, the last one, blocks, as it would if it had been started so."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers[:-1]}
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers[-1:])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers[-1:])
        for number, handler in before.items():
            signal.signal(number, handler)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False
