"""What a worker may run out of: descriptors, processes, memory, disk. It is the worker's trouble, never a task's."""

import errno
import os
import resource
from collections.abc import Awaitable, Callable

WORDS = {
    errno.EMFILE: "no file descriptors are left to this process",
    errno.ENFILE: "no file descriptors are left on this machine",
    errno.EAGAIN: "no processes or threads are left to this user",
    errno.ENOMEM: "no memory is left",
    errno.ENOBUFS: "no memory is left for sockets",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
}
_ANYWHERE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS})
"""Errors that mean it wherever they come from."""
_NO_THREAD = "can't start new thread"


class Unwell(Exception):
    """The worker cannot run this now: the task is given back, and does not count. `probe`: starts the like and ends it again."""

    def __init__(self, why: str, probe: Callable[[], Awaitable[None]] | None = None) -> None:
        super().__init__(why)
        self.probe = probe


def spare_descriptors(needed: int) -> None:
    """OSError (EMFILE) if this process has not `needed` descriptors left: the last ones are for bus and storage."""
    lowest = os.dup(2)
    os.close(lowest)
    if lowest + needed > resource.getrlimit(resource.RLIMIT_NOFILE)[0]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def words(error: OSError) -> str:
    """An error of what a worker needs to run anything, in plain words."""
    return WORDS.get(error.errno or 0, error.strerror or str(error))


def shortage(error: BaseException | None) -> str:
    """In plain words what the worker had run out of when this was raised; empty if that is not why."""
    for _ in range(10):
        if isinstance(error, OSError) and error.errno in _ANYWHERE:
            return words(error)
        if isinstance(error, RuntimeError) and _NO_THREAD in str(error):
            return WORDS[errno.EAGAIN]
        if error is None:
            break
        error = error.__cause__ or error.__context__
    return ""
