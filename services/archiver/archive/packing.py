"""Datablocks: files into tars, in one pass over their bytes.

A datablock is a BagIt bag (RFC 8493) in a plain tar: `<block>/bagit.txt`, the files under `<block>/data/`, and, last, the
payload manifest `<block>/manifest-sha256.txt`. Names, order and times are fixed, so that packing the same files again gives
the same bytes. Every file is held to its registered size and hash while it passes: a tar that is complete is correct.
"""

import tarfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final

from services.archiver.catalogue.store.files import File
from shared.chain.errors import UserError
from shared.objects.hashing import Sha256

BLOCK: Final = tarfile.BLOCKSIZE
RECORD: Final = tarfile.RECORDSIZE
BAGIT: Final = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"

Read = Callable[[str], AsyncGenerator[bytes, None]]
"""Gives the bytes of the file at a path of the dataset."""


def share_out(files: Sequence[File], target: int) -> list[list[File]]:
    """Groups files, in the order of their paths, into datablocks of about `target` bytes. A larger file gets a datablock of its own."""
    blocks: list[list[File]] = []
    room = 0
    for file in sorted(files, key=lambda file: file.path):
        if not blocks or file.size > room:
            blocks.append([])
            room = target
        blocks[-1].append(file)
        room -= file.size
    return blocks


def manifest(files: Sequence[File]) -> bytes:
    """The payload manifest. RFC 8493 wants line ends and percent signs in paths encoded; a path has no line ends."""
    return "".join(f"{file.chk}  data/{file.path.replace('%', '%25')}\n" for file in files).encode()


class Tar:
    """The tar of one datablock. `starts`: path → where its first byte lies; `size`: bytes of the tar. Both are known before anything is packed."""

    def __init__(self, name: str, files: Sequence[File]) -> None:
        self._name, self._files = name, files
        self.manifest = manifest(files)
        self.starts: dict[str, int] = {}
        at = self._span("bagit.txt", len(BAGIT))
        for file in files:
            header = len(self._header(f"data/{file.path}", file.size))
            self.starts[file.path] = at + header
            at += header + _padded(file.size)
        at += self._span("manifest-sha256.txt", len(self.manifest))
        self.size = -(-(at + 2 * BLOCK) // RECORD) * RECORD

    async def stream(self, read: Read) -> AsyncGenerator[bytes, None]:
        """The bytes of the tar. WrongFileError if a file is not the one that was registered."""
        sent = 0
        async with aclosing(self._members(read)) as chunks:
            async for chunk in chunks:
                sent += len(chunk)
                yield chunk
        yield bytes(self.size - sent)

    async def _members(self, read: Read) -> AsyncGenerator[bytes, None]:
        yield self._small("bagit.txt", BAGIT)
        for file in self._files:
            yield self._header(f"data/{file.path}", file.size)
            digest = Sha256()
            async with aclosing(read(file.path)) as chunks:
                async for chunk in chunks:
                    await digest.update(chunk)
                    if digest.size > file.size:
                        break
                    yield chunk
            check(file, digest)
            yield bytes(_padded(file.size) - file.size)
        yield self._small("manifest-sha256.txt", self.manifest)

    def _small(self, path: str, data: bytes) -> bytes:
        return self._header(path, len(data)) + data + bytes(_padded(len(data)) - len(data))

    def _span(self, path: str, size: int) -> int:
        return len(self._header(path, size)) + _padded(size)

    def _header(self, path: str, size: int) -> bytes:
        info = tarfile.TarInfo(f"{self._name}/{path}")
        info.size, info.mode = size, 0o644
        return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


class WrongFileError(UserError):
    """What was uploaded at `path` is not the file that was registered."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path


def check(file: File, digest: Sha256) -> None:
    """Checks that the bytes that passed are the registered file; WrongFileError otherwise."""
    if digest.size != file.size:
        more = "more than " if digest.size > file.size else ""
        raise WrongFileError(file.path, f"{more}{min(digest.size, file.size)} bytes came, {file.size} were registered")
    if digest.hex() != file.chk:
        raise WrongFileError(file.path, f"its bytes hash to {digest.hex()}, {file.chk} was registered")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
