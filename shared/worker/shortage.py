"""What a worker may run out of: descriptors, processes, memory, disk. The task is given back then, and does not fail."""

import errno
import os
import resource
from collections.abc import Awaitable, Callable

TEXTS = {
    errno.EMFILE: "no file descriptors are left to this process",
    errno.ENFILE: "no file descriptors are left on this machine",
    errno.EAGAIN: "no processes or threads are left to this user",
    errno.ENOMEM: "no memory is left",
    errno.ENOBUFS: "no memory is left for sockets",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
}
_ALWAYS_SHORTAGE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS})
"""Errors that mean a shortage whichever call has raised them."""
_NO_THREAD = "can't start new thread"


class ResourceShortage(Exception):
    """The worker cannot run a task now: it is given back, and the attempt does not count. `probe` begins the like and ends it."""

    def __init__(self, why: str, probe: Callable[[], Awaitable[None]] | None = None) -> None:
        super().__init__(why)
        self.probe = probe


def spare_descriptors(needed: int) -> None:
    """OSError (EMFILE) if this process has not `needed` descriptors left: the last ones are for bus and storage."""
    lowest = os.dup(2)
    os.close(lowest)
    if lowest + needed > resource.getrlimit(resource.RLIMIT_NOFILE)[0]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def shortage_text(error: OSError) -> str:
    """For people, what the worker has run out of."""
    return TEXTS.get(error.errno or 0, error.strerror or str(error))


def shortage(error: BaseException | None) -> str:
    """For people, what the worker had run out of when the error was raised; empty if that is not its cause."""
    for _ in range(10):
        if isinstance(error, OSError) and error.errno in _ALWAYS_SHORTAGE:
            return shortage_text(error)
        if isinstance(error, RuntimeError) and _NO_THREAD in str(error):
            return TEXTS[errno.EAGAIN]
        if error is None:
            break
        error = error.__cause__ or error.__context__
    return ""
