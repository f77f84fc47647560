"""Storage on a file system, such as a mounted share: an object is a file, and its hash lies beside it.

    <root>/headrace-storage.json   which storage this is; without the right one nothing is done here (identity.py)
    <root>/data/<key>              the bytes
    <root>/sums/<key>              their SHA-256, in the form that `sha256sum -c` reads
    <root>/parts/<uuid>            what is being written

A file is written under `parts`, flushed to the disk, and only then linked to where it belongs: there is never half an object.
What a killed process left in `parts` is removed by `sweep`.
"""

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import aclosing
from datetime import timedelta
from functools import partial
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
    Unreadable,
)
from shared.objects.folder import DATA, PARTS, SUMS, Folder, write
from shared.objects.hashing import Sha256
from shared.objects.identity import Guard
from shared.objects.layout import check_key
from shared.objects.pieces import cut
from shared.objects.port import Data, Stored

PIECE: Final = 4 * 1024 * 1024
"""Bytes written or read in one go."""
THREADS: Final = 8
"""Calls at once. They are the store's own threads: a share that hangs keeps them, and nobody else's."""
PATIENCE: Final = 2.0
"""Seconds in which a share answers that is well."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_AWAY: Final = frozenset(
    {
        *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EROFS, errno.ENODEV, errno.ENXIO, errno.EREMOTEIO),
        *(errno.ENOTCONN, errno.ECONNABORTED, errno.ECONNRESET, errno.ECONNREFUSED),
        *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH),
    }
)
"""A disk, or the server of a share, that is away."""

P = ParamSpec("P")
T = TypeVar("T")


class PosixStore:
    """The `Store` port on a folder. `guard`: which storage has to be there. `reserve`: bytes that have to stay free on its
    file system."""

    def __init__(self, root: Path, guard: Guard, *, reserve: int = 0) -> None:
        self.root, self._guard, self._reserve = root, guard, reserve
        self._threads = ThreadPoolExecutor(THREADS, "share")
        self._prober = ThreadPoolExecutor(1, "share-check")
        self._probe: asyncio.Task[str] | None = None

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
        folder = await self._folder()
        await self._disk(key, self._check_room, folder, size or 0)
        part, digest = f"{PARTS}/{uuid4()}", Sha256()
        out = await self._disk(key, create_part, folder, part)
        try:
            async with aclosing(cut(data, PIECE, size=size, limit=limit)) as pieces:
                async for piece in pieces:
                    await digest.update(piece)
                    await self._disk(key, write, out, piece)
            if sha256 and sha256.lower() != digest.hex():
                raise Invalid(f"the bytes hash to {digest.hex()}, not to {sha256}", field="sha256")
            await self._disk(key, os.fsync, out.fileno())
            await self._disk(key, folder.place, part, f"{DATA}/{key}", if_absent=if_absent)
        finally:
            # Not on the loop's threads: this has to happen even while the caller is being cancelled.
            out.close()
            with contextlib.suppress(OSError):
                folder.unlink(part)
        await self._disk(key, _note, folder, key, digest.hex())
        return Stored(key, digest.size, digest.hex())

    def get(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        check_key(key)
        if start < 0 or (end is not None and end < start):
            raise Invalid(f"{start} to {end} is not a range", field="start")
        return self._stream(key, start, end)

    async def _stream(self, key: str, start: int, end: int | None) -> AsyncGenerator[bytes, None]:
        file = await self._reading(key, (await self._folder()).open, f"{DATA}/{key}", start)
        try:
            while end is None or start < end:
                length = PIECE if end is None else min(PIECE, end - start)
                chunk = await self._reading(key, file.read, length)
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
        folder = await self._folder()
        with contextlib.suppress(NotFound):
            return await self._disk(key, _head, folder, key)
        return None

    async def delete(self, keys: Iterable[str]) -> None:
        names = [check_key(key) for key in keys]
        folder = await self._folder()
        for key in names:
            await self._disk(key, _delete, folder, key)

    async def list(self, prefix: str) -> AsyncGenerator[Stored, None]:
        # Whole first: a walk that others change under its feet skips what they did not touch.
        for one in await self._disk(prefix, _list, await self._folder(), prefix):
            yield one

    async def check(self) -> str:
        """All who ask share one look at the share, so that one that hangs keeps one thread."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._look())
        done, _ = await asyncio.wait({self._probe}, timeout=PATIENCE)
        return (
            self._probe.result()
            if done
            else f"storage {self._guard.name!r}: no answer from {self.root} within {PATIENCE:g} s"
        )

    async def _look(self) -> str:
        try:
            folder = await self._folder(self._prober)
            await self._on(self._prober, "", self._check_room, folder, 0)
        except HeadraceError as error:
            return error.message
        return "ok"

    async def sweep(self, older_than: timedelta, prefix: str = "") -> int:
        """Whatever the prefix: what is half written has no key yet."""
        return await self._disk("", (await self._folder()).sweep, time.time() - older_than.total_seconds())

    async def _folder(self, threads: Executor | None = None) -> Folder:
        """The root, opened for one operation, if it is the right storage; Unavailable otherwise."""
        folder, marker = await self._on(threads or self._threads, "", self._open)
        await self._guard.admit(marker, str(self.root))
        return folder

    async def _reading(self, key: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Unreadable if it is the object that cannot be read, such as one on a bad sector: the storage's marker can."""
        try:
            return await self._disk(key, call, *args, **kwargs)
        except (Unavailable, Internal) as error:
            await self._folder()
            raise Unreadable(f"object {key!r} cannot be read: {error.message}") from error

    # -- on a thread

    def _open(self) -> tuple[Folder, bytes | None]:
        try:
            folder = Folder(str(self.root))
            return folder, folder.marker()
        except (FileNotFoundError, NotADirectoryError):
            raise Unavailable(f"storage {self._guard.name!r} is not there: no folder {self.root}") from None
        except OSError as error:  # whatever it is: what cannot be looked at is not there
            raise Unavailable(f"storage {self._guard.name!r}: {self.root}: {error.strerror}") from error

    def _check_room(self, folder: Folder, size: int) -> None:
        if (free := folder.free()) < size + self._reserve:
            raise NoRoom(
                f"{self.root}: {free} bytes are free; {size} are needed, and {self._reserve} have to stay free"
            )

    async def _disk(self, key: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._on(self._threads, key, call, *args, **kwargs)

    async def _on(self, threads: Executor, key: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A call on a thread, with what the file system raises made ours."""
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, partial(call, *args, **kwargs))
        except FileNotFoundError:
            raise NotFound(f"there is no object {key!r}") from None
        except FileExistsError:
            raise AlreadyExists(f"there is an object {key!r} already", field="key") from None
        except OSError as error:
            if error.errno in _FULL:
                raise NoRoom(f"{self.root}: {error.strerror}") from error
            if error.errno in _AWAY:
                raise Unavailable(f"{self.root}: {error.strerror}") from error
            raise Internal(f"{self.root}: {error.strerror}") from error


def create_part(folder: Folder, part: str) -> BinaryIO:
    """A new file for the bytes of an object that is not complete, in the folder for parts."""
    folder.make(PARTS)
    return folder.create(part)


def _note(folder: Folder, key: str, digest: str) -> None:
    name, fresh = key.rpartition("/")[2], f"{PARTS}/{uuid4()}.sum"
    folder.make(PARTS)
    with folder.create(fresh) as out:
        write(out, f"{digest}  {name}\n".encode())
    folder.place(fresh, f"{SUMS}/{key}", if_absent=False)


def _head(folder: Folder, key: str) -> Stored:
    size, digest = folder.size(f"{DATA}/{key}"), ""
    with contextlib.suppress(FileNotFoundError), folder.open(f"{SUMS}/{key}") as file:
        digest = file.read()[:64].decode()
    return Stored(key, size, digest)


def _delete(folder: Folder, key: str) -> None:
    for root in (SUMS, DATA):
        folder.unlink(f"{root}/{key}")
        folder.prune(f"{root}/{key}")


def _list(folder: Folder, prefix: str) -> list[Stored]:
    top = f"{DATA}/{prefix}".rpartition("/")[0]
    found = ((path.removeprefix(f"{DATA}/"), size) for path, size in folder.walk(top))
    return sorted((Stored(key, size) for key, size in found if key.startswith(prefix)), key=lambda one: one.key)
