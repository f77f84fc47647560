"""A file that has no name until it is whole: nobody meets it half written, and however its writer ends, nothing of it stays.

It lies in the folder of its later name, so that giving it the name is one step. Where the file system has no files without
names (network shares), it is hidden under a random name meanwhile: only SIGKILL leaves that behind.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

BLOCK = 1024 * 1024
DESCRIPTORS = Path("/proc/self/fd")


class PartialFile:
    """`file` is unbuffered: what the disk refuses is an OSError of that very write. Write with `write`."""

    def __init__(self, file: BinaryIO, hidden: Path | None) -> None:
        self.file, self._hidden = file, hidden

    def write(self, data: bytes) -> None:
        """All of `data`: a disk that fills up takes a part before it refuses."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.file.write(rest) :]

    def size(self) -> int:
        """Bytes that it holds."""
        return self.file.seek(0, 2)

    def place(self, target: Path) -> None:
        """Gives it its name, in place of whatever has that now."""
        hidden = self._hidden
        try:
            if hidden is None:
                hidden = _hidden(target.parent)
                _link(self.file.fileno(), hidden)
            hidden.replace(target)
        except BaseException:
            if hidden is not None:
                hidden.unlink(missing_ok=True)
            raise


@contextmanager
def partial_file(folder: Path) -> Iterator[PartialFile]:
    """A file in `folder`, to write and to read; gone at the end of the block unless it was placed."""
    file, hidden = _open(folder)
    try:
        with file:
            yield PartialFile(file, hidden)
    finally:
        if hidden is not None:
            hidden.unlink(missing_ok=True)


def _open(folder: Path) -> tuple[BinaryIO, Path | None]:
    if hasattr(os, "O_TMPFILE") and DESCRIPTORS.is_dir():
        with suppress(OSError):  # not on every file system; if it is another error, it comes again below
            return os.fdopen(os.open(folder, os.O_RDWR | os.O_TMPFILE, 0o666), "r+b", buffering=0), None
    hidden = _hidden(folder)
    return hidden.open("x+b", buffering=0), hidden


def _link(descriptor: int, name: Path) -> None:
    """Only with a folder's descriptor does Python ask the system to follow the link in /proc to the file itself."""
    folder = os.open(DESCRIPTORS, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.link(str(descriptor), name, src_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def _hidden(folder: Path) -> Path:
    return folder / f".headrace-{uuid4().hex}"


@contextmanager
def resumable(part: Path) -> Iterator[PartialFile]:
    """A file called `part`, with what an earlier call left in it. It stays when the block is broken off, unless by the disk or empty.

    While another process writes it, this one gets a file without a name instead.
    """
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
    if not _is_ours(descriptor, part):
        os.close(descriptor)
        with partial_file(part.parent) as other:
            yield other
        return
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        try:
            yield PartialFile(file, part)
        except BaseException as error:
            if isinstance(error, OSError) or not os.fstat(file.fileno()).st_size:
                part.unlink(missing_ok=True)
            raise


def _is_ours(descriptor: int, part: Path) -> bool:
    """Locked by us, and not moved to its place by another just before."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), part.stat())
    except OSError:
        return False
