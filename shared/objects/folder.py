"""The root of a share, held open: whatever is done, is done relative to it.

A path is looked up anew with each call; a descriptor stays with the file system that it was opened on. So a share that goes
away between two calls takes our descriptor with it, and no byte lands on the local disk beneath the mount point.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import PurePosixPath
from typing import BinaryIO, Final
from uuid import uuid4

from shared.contracts.errors import Internal
from shared.objects.layout import MARKER
from shared.objects.pieces import Piece

DATA, SUMS, PARTS = "data", "sums", "parts"
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_GOES_AWAY: Final = 3
"""Tries to make a folder that a delete beside us may take away again."""


class Folder:
    """Blocking calls, for a thread. The descriptor is closed with the last reference to this: a call on a thread may go on
    after its caller was cancelled, and must not find another file under the same number."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, _FOLDER)

    def __del__(self) -> None:
        with suppress(AttributeError):  # it could not be opened
            os.close(self._fd)

    def marker(self) -> bytes | None:
        """The storage's marker; None if there is none."""
        try:
            with self.open(MARKER) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def write_marker(self, marker: bytes) -> None:
        """FileExistsError if there is one."""
        with self.create(part := f"{MARKER}.{uuid4().hex}") as out:
            try:
                write(out, marker)
                os.fsync(out.fileno())
                os.link(part, MARKER, src_dir_fd=self._fd, dst_dir_fd=self._fd)
                os.fsync(self._fd)
            finally:
                self.unlink(part)

    def names(self) -> list[str]:
        """The names of what lies in the folder itself, sorted."""
        return sorted(os.listdir(self._fd))

    def free(self) -> int:
        """Bytes that are free on its disk."""
        disk = os.fstatvfs(self._fd)
        return disk.f_bavail * disk.f_frsize

    def create(self, path: str) -> BinaryIO:
        """A new file in a folder that is there."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.fdopen(os.open(path, flags, 0o666, dir_fd=self._fd), "wb", buffering=0)

    def open(self, path: str, start: int = 0) -> BinaryIO:
        """A file, to be read from byte `start`."""
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._fd), "rb", buffering=0)
        file.seek(start)
        return file

    def size(self, path: str) -> int:
        """The size of a plain file; FileNotFoundError if it is none."""
        found = os.stat(path, dir_fd=self._fd)
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return found.st_size

    def make(self, path: str) -> None:
        """Makes a folder, and those above it."""
        for folder in (*reversed(PurePosixPath(path).parents[:-1]), PurePosixPath(path)):
            with suppress(FileExistsError):
                os.mkdir(folder, dir_fd=self._fd)

    def place(self, part: str, path: str, *, if_absent: bool) -> None:
        """Moves a finished file to its place, durably. FileExistsError if something is there and `if_absent` is set."""
        above = str(PurePosixPath(path).parent)
        for _ in range(_GOES_AWAY):
            try:
                self.make(above)
                if if_absent:
                    os.link(part, path, src_dir_fd=self._fd, dst_dir_fd=self._fd)
                else:
                    os.replace(part, path, src_dir_fd=self._fd, dst_dir_fd=self._fd)
            except FileNotFoundError:
                continue
            break
        else:
            raise Internal(f"{above} goes away again and again")
        holder = os.open(above, _FOLDER, dir_fd=self._fd)
        try:
            os.fsync(holder)
        finally:
            os.close(holder)

    def unlink(self, path: str) -> None:
        """Harmless when it is not there."""
        with suppress(FileNotFoundError):
            os.unlink(path, dir_fd=self._fd)

    def prune(self, path: str) -> None:
        """Removes the folders above a path, below the first one of it, for as long as they are empty."""
        for folder in PurePosixPath(path).parents[:-2]:
            try:
                os.rmdir(folder, dir_fd=self._fd)
            except OSError:  # something else is in it
                return

    def walk(self, top: str) -> Iterator[tuple[str, int]]:
        """Every file below `top`, as its path and its size; none if there is no such folder. An error is raised: what could
        not be read is not empty."""
        try:
            for folder, _, names, fd in os.fwalk(top, onerror=_raise, dir_fd=self._fd):
                for name in names:
                    with suppress(FileNotFoundError):
                        yield f"{folder}/{name}", os.stat(name, dir_fd=fd).st_size
        except FileNotFoundError:
            return

    def sweep(self, before: float) -> int:
        """Removes parts that were last written to before (seconds since 1970); how many."""
        swept = 0
        for part, _ in list(self.walk(PARTS)):
            with suppress(FileNotFoundError):
                if os.stat(part, dir_fd=self._fd).st_mtime < before:
                    os.unlink(part, dir_fd=self._fd)
                    swept += 1
        return swept


def write(out: BinaryIO, piece: Piece) -> None:
    """Writes all of `piece`. OSError if the disk is full."""
    rest = memoryview(piece)
    while rest:  # a disk that fills up takes a part before it refuses
        rest = rest[out.write(rest) :]


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
