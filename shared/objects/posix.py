"""Storage on a file system, such as a mounted share: an object is a file, and its hash lies beside it.

    <root>/data/<key>     the bytes
    <root>/sums/<key>     their SHA-256, in the form that `sha256sum -c` reads
    <root>/parts/<uuid>   what is being written

A file is written under `parts`, flushed to the disk, and only then linked to where it belongs: there is never half an object.
What a killed process left in `parts` is removed by `sweep`.
"""

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Final, ParamSpec, TypeVar
from uuid import uuid4

from shared.contracts.errors import (
    AlreadyExists,
    HeadraceError,
    Internal,
    Invalid,
    NoRoom,
    NotFound,
    TooLarge,
    Unavailable,
)
from shared.objects.cut import Piece, cut
from shared.objects.hashing import Sha256
from shared.objects.layout import check_key
from shared.objects.port import Data, Stored

PIECE: Final = 4 * 1024 * 1024
"""Bytes written or read in one go."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

P = ParamSpec("P")
T = TypeVar("T")


class PosixStore:
    """The `Store` port on a folder. `reserve`: bytes that have to stay free on its file system."""

    def __init__(self, root: Path, *, reserve: int = 0) -> None:
        self.root, self._reserve = root, reserve
        self._data, self._sums, self._parts = root / "data", root / "sums", root / "parts"

    async def put(
        self,
        key: str,
        data: Data,
        *,
        size: int | None = None,
        sha256: str = "",
        limit: int | None = None,
        if_absent: bool = True,
    ) -> Stored:
        check_key(key)
        await self._disk(key, self._check_room, size or 0)
        part, digest = self._parts / str(uuid4()), Sha256()
        out = await self._disk(key, _create, part)
        try:
            async with aclosing(cut(data, PIECE, size=size, limit=limit)) as pieces:
                async for piece in pieces:
                    await digest.update(piece)
                    await self._disk(key, _write, out, piece)
            if sha256 and sha256.lower() != digest.hex():
                raise Invalid(f"the bytes hash to {digest.hex()}, not to {sha256}", field="sha256")
            await self._disk(key, _finish, out, part, self._data / key, if_absent)
        finally:
            # Not on the loop's threads: this has to happen even while the caller is being cancelled.
            out.close()
            part.unlink(missing_ok=True)
        await self._disk(key, self._note, key, digest.hex())
        return Stored(key, digest.size, digest.hex())

    def get(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        check_key(key)
        if start < 0 or (end is not None and end < start):
            raise Invalid(f"{start} to {end} is not a range", field="start")
        return self._stream(key, start, end)

    async def _stream(self, key: str, start: int, end: int | None) -> AsyncGenerator[bytes, None]:
        file = await self._disk(key, _open, self._data / key, start)
        try:
            while end is None or start < end:
                length = PIECE if end is None else min(PIECE, end - start)
                chunk = await self._disk(key, file.read, length)
                if not chunk:
                    return
                start += len(chunk)
                yield chunk
        finally:
            file.close()

    async def read(self, key: str, *, limit: int) -> bytes:
        data = bytearray()
        async with aclosing(self.get(key, end=limit + 1)) as chunks:
            async for chunk in chunks:
                data += chunk
        if len(data) > limit:
            raise TooLarge(f"object {key!r} is larger than {limit} bytes")
        return bytes(data)

    async def head(self, key: str) -> Stored | None:
        check_key(key)
        with contextlib.suppress(NotFound):
            return await self._disk(key, self._head, key)
        return None

    async def delete(self, keys: Iterable[str]) -> None:
        for key in [check_key(key) for key in keys]:
            await self._disk(key, self._delete, key)

    async def list(self, prefix: str) -> AsyncGenerator[Stored, None]:
        # Whole first: a walk that others change under its feet skips what they did not touch.
        for key, size in await self._disk(prefix, lambda: sorted(self._walk(prefix))):
            yield Stored(key, size)

    async def check(self) -> str:
        try:
            await self._disk("", self._check_room, 0)
        except HeadraceError as error:
            return error.message
        return "ok"

    async def sweep(self, older_than: timedelta, prefix: str = "") -> int:
        """Whatever the prefix: what is half written has no key yet."""
        return await self._disk("", self._sweep, time.time() - older_than.total_seconds())

    # -- on a thread

    def _check_room(self, size: int) -> None:
        self._parts.mkdir(parents=True, exist_ok=True)
        disk = os.statvfs(self._parts)
        free = disk.f_bavail * disk.f_frsize
        if free < size + self._reserve:
            raise NoRoom(
                f"{self.root}: {free} bytes are free; {size} are needed, and {self._reserve} have to stay free"
            )

    def _note(self, key: str, digest: str) -> None:
        sums = self._sums / key
        sums.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._parts / f"{uuid4()}.sum"
        fresh.write_text(f"{digest}  {sums.name}\n")
        fresh.replace(sums)

    def _head(self, key: str) -> Stored:
        path = self._data / key
        if not path.is_file():
            raise FileNotFoundError(path)
        digest = ""
        with contextlib.suppress(FileNotFoundError):
            digest = (self._sums / key).read_text()[:64]
        return Stored(key, path.stat().st_size, digest)

    def _delete(self, key: str) -> None:
        for root in (self._sums, self._data):
            path = root / key
            path.unlink(missing_ok=True)
            for folder in path.relative_to(root).parents[:-1]:
                try:
                    (root / folder).rmdir()
                except OSError:  # something else is in it
                    break

    def _walk(self, prefix: str) -> Iterator[tuple[str, int]]:
        for folder, _, names in os.walk(self._data / prefix.rpartition("/")[0]):
            for name in names:
                path = Path(folder, name)
                key = path.relative_to(self._data).as_posix()
                if key.startswith(prefix):
                    with contextlib.suppress(FileNotFoundError):
                        yield key, path.stat().st_size

    def _sweep(self, before: float) -> int:
        swept = 0
        for part in self._parts.glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if part.stat().st_mtime < before:
                    part.unlink()
                    swept += 1
        return swept

    async def _disk(self, key: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A call on a thread, with what the file system raises made ours."""
        try:
            return await asyncio.to_thread(call, *args, **kwargs)
        except FileNotFoundError:
            raise NotFound(f"there is no object {key!r}") from None
        except FileExistsError:
            raise AlreadyExists(f"there is an object {key!r} already", field="key") from None
        except OSError as error:
            if error.errno in _FULL:
                raise NoRoom(f"{self.root}: {error.strerror}") from error
            if error.errno in (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EROFS):
                raise Unavailable(f"{self.root}: {error.strerror}") from error
            raise Internal(f"{self.root}: {error.strerror}") from error


def _create(part: Path) -> BinaryIO:
    return part.open("xb", buffering=0)


def _open(path: Path, start: int) -> BinaryIO:
    file = path.open("rb", buffering=0)
    file.seek(start)
    return file


def _write(out: BinaryIO, piece: Piece) -> None:
    rest = memoryview(piece)
    while rest:  # a disk that fills up takes a part before it refuses
        rest = rest[out.write(rest) :]


def _finish(out: BinaryIO, part: Path, path: Path, if_absent: bool) -> None:
    os.fsync(out.fileno())
    for _ in range(3):  # a delete beside us may take the folder away again
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(part, path) if if_absent else os.replace(part, path)
        except FileNotFoundError:
            continue
        break
    else:
        raise Internal(f"{path.parent} goes away again and again")
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
