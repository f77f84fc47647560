"""The folder that holds everything of one stack: `.headrace/`.

Secrets are made once and lie in `secrets.json` and `token`, readable by the owner only, as is the folder. A lock keeps a second supervisor out.
"""

import contextlib
import errno
import fcntl
import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

MIB = 1 << 20
DISK_FLOOR = 1024 * MIB
"""Bytes that have to be free: less, and the servers would fail one by one in ways that do not name the cause."""

PEOPLE = ("alice",)
"""Who has a user of the bus in a folder that is new."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the system says when a disk, or somebody's share of it, is full."""


class HomeError(Exception):
    """The folder cannot be used; the message says why and what to do."""


class Home:
    """One folder, locked for one supervisor at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self.token_file = self.path / "token"
        self.keys = self.path / "keys"
        self.lock_fd = -1

    def open(self, *, floor: int = DISK_FLOOR) -> None:
        """Makes the folder, takes its lock, checks that it can be used: `floor` bytes have to be free.

        With too little room nothing is made or changed.
        """
        self._check_space(floor)
        self._make()
        self._take_lock()
        try:
            self.logs.mkdir(mode=0o700, exist_ok=True)
            if not self.token_file.exists():
                write_private(self.token_file, secrets.token_urlsafe(32) + "\n")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Gives up the lock."""
        if self.lock_fd >= 0:
            os.close(self.lock_fd)
            self.lock_fd = -1

    def _make(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            owner = self.path.stat().st_uid
            if owner != os.geteuid():
                raise HomeError(
                    f"{self.path} belongs to uid {owner}, and this is uid {os.geteuid()}: run as its owner, "
                    "remove it, or name another folder with --home"
                )
            self.path.chmod(0o700)
            for entry in self.path.iterdir():  # secrets among them, perhaps of an earlier version or another umask
                if (entry.is_file() or entry.is_dir()) and not entry.is_symlink():
                    entry.chmod(entry.stat().st_mode & 0o700)
        except OSError as error:
            raise HomeError(f"{self.path} cannot be used: {error.strerror}") from error

    def _take_lock(self) -> None:
        file = self.path / "lock"
        self.lock_fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self.lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = file.read_text().strip() or "unknown"
            self.close()
            raise HomeError(
                f"{self.path} is in use (by process {holder}): another run is going on here, or is still stopping its "
                "servers. Use that one, stop it, or name another folder with --home"
            ) from None
        os.ftruncate(self.lock_fd, 0)
        with contextlib.suppress(OSError):  # for people only, and a full disk can be wiped without it
            os.pwrite(self.lock_fd, f"{os.getpid()}\n".encode(), 0)

    def _check_space(self, floor: int) -> None:
        there = next(path for path in (self.path, *self.path.parents) if path.exists())
        if (left := free(there)) < floor:
            raise HomeError(f"{self.path}: {left // MIB} MiB are free on its disk, {floor // MIB} are needed")

    def secrets(self, names: Iterable[str]) -> dict[str, str]:
        """A secret for each name, the same in every run."""
        file = self.path / "secrets.json"
        known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        missing = [name for name in names if name not in known]
        if missing:
            known.update({name: secrets.token_hex(16) for name in missing})
            write_private(file, json.dumps(known, indent=2) + "\n")
        return known

    def forget_secret(self, name: str) -> None:
        """Deletes a secret: the next one of this name is another."""
        file = self.path / "secrets.json"
        known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        if known.pop(name, None) is not None:
            write_private(file, json.dumps(known, indent=2) + "\n")

    def people(self) -> tuple[str, ...]:
        """The names of those who have a user of the bus."""
        file = self.path / "people.json"
        return tuple(json.loads(file.read_text())) if file.exists() else PEOPLE

    def set_people(self, names: Iterable[str]) -> None:
        """Records who has a user of the bus from now on."""
        write_private(self.path / "people.json", json.dumps(list(names)) + "\n")

    def context(self, name: str) -> Path:
        """Where the `nats` tool finds the context `name` with XDG_CONFIG_HOME=.headrace/config."""
        return self.path / "config" / "nats" / "context" / f"{name}.json"


def free(folder: Path) -> int:
    """Bytes that are free for us on the disk of a folder."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def write_private(path: Path, text: str) -> None:
    """Writes a file, whole or not at all, that only its owner can read."""
    write_file(path, text.encode(), 0o600)


def write_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Writes a file, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(path)
    except BaseException:  # a full disk above all: nothing half written stays
        fresh.unlink(missing_ok=True)
        raise
