"""A small disk of a test's own, to be filled up: a tmpfs, which needs root."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    """`folder`: where it is mounted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def free(self) -> int:
        disk = os.statvfs(self.folder)
        return disk.f_bavail * disk.f_frsize

    def take(self, name: str, *, leave: int = 0) -> None:
        """Fills it with a file until `leave` bytes are free; 0: until nothing more fits, while others write as well."""
        with (self.folder / name).open("ab") as out:
            piece = max(self.free - leave, 0) if leave else 1 << 24
            while piece >= os.sysconf("SC_PAGE_SIZE"):
                try:
                    os.posix_fallocate(out.fileno(), out.seek(0, os.SEEK_END), piece)
                except OSError:
                    piece //= 2
                else:
                    piece = 0 if leave else piece

    def give_back(self, name: str) -> None:
        (self.folder / name).unlink()


@contextmanager
def small_disk(mib: int) -> Iterator[SmallDisk]:
    """Skips the test where it cannot be made; is taken away in any case."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder = Path(tempfile.mkdtemp(prefix="headrace-disk-"))
    try:
        options = f"size={mib}m,mode=711"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True, check=False
        )
        if mounted.returncode:
            pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
        try:
            yield SmallDisk(folder)
        finally:
            # Lazily: whatever a process still holds goes with it.
            subprocess.run(["umount", "--lazy", folder], check=True)
    finally:
        folder.rmdir()
