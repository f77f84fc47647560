"""The files that become a dataset: found, named, hashed."""

import asyncio
import hashlib
import os
import stat
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import msgspec

from shared.client.errors import FailedError, UsageError
from shared.contracts.catalogue import MOST_FILES, DataFile
from shared.objects.layout import in_words, path_fault

BLOCK = 1024 * 1024
ROOM = 100 * 1024
"""Bytes of the paths of one portion: its entries, addresses included, have to fit into a message."""


class File(msgspec.Struct, frozen=True):
    """`place`: where it is here. `path`: what the dataset calls it. `chk`: SHA-256 in hex, once it was read."""

    place: Path
    path: str
    size: int
    chk: str = ""

    def described(self) -> DataFile:
        """As the catalogue has it."""
        return DataFile(self.path, self.size, self.chk)

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """What is registered, and not a byte more.

        The last block comes only when the hash is right: an object that is there whole is the file, and a file that has changed
        since it was registered is a FailedError here, not an object over there.
        """
        digest, size, held = hashlib.sha256(), 0, b""
        try:
            with opened(self) as source:  # here, not in a thread: who is cancelled there would leave it open
                while size <= self.size and (block := await asyncio.to_thread(source.read, BLOCK)):
                    if held:
                        yield held
                    digest.update(block)
                    size, held = size + len(block), block
        except OSError as error:
            raise FailedError(f"{self.place}: {error.strerror}") from None
        if (size, digest.hexdigest()) != (self.size, self.chk):
            raise FailedError(
                f"{self.place} has changed while it was being archived: the same call again registers it anew"
            )
        if held:
            yield held


def find(given: Sequence[Path]) -> tuple[list[File], list[str]]:
    """Files in the order of their paths, and the symbolic links that were passed over.

    What lies in a folder is called by its path in that folder, a file by its name. UsageError if that is not possible.
    """
    found: dict[str, File] = {}
    links: list[str] = []
    for start in given:
        for place, path in _walk(start, links):
            if path in found:
                raise UsageError(f"{found[path].place} and {place} would both be {path!r} in the dataset")
            found[path] = File(place, path, place.lstat().st_size)
    _check_paths({path: file.place for path, file in found.items()})
    for file in found.values():
        for parent in PurePosixPath(file.path).parents:
            if (above := found.get(str(parent))) is not None:
                raise UsageError(f"{above.place} is a file, and in {file.place} its name is a folder's: {above.path!r}")
    if not found:
        raise UsageError(f"there are no files in {', '.join(str(path) for path in given)}")
    return [found[path] for path in sorted(found)], links


def _walk(start: Path, links: list[str]) -> Iterator[tuple[Path, str]]:
    try:
        mode = start.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise UsageError(f"{start} is a symbolic link: give what it points to")
        if not stat.S_ISDIR(mode):
            yield _regular(start, mode), start.name
            return
        folders = [start]
        while folders:
            for entry in sorted(os.scandir(folders.pop()), key=lambda entry: entry.name):
                place = Path(entry.path)
                if entry.is_symlink():
                    links.append(str(place))
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(place)
                else:
                    yield (
                        _regular(place, entry.stat(follow_symlinks=False).st_mode),
                        place.relative_to(start).as_posix(),
                    )
    except OSError as error:
        raise UsageError(f"{error.filename or start}: {error.strerror}") from None


def _regular(place: Path, mode: int) -> Path:
    if not stat.S_ISREG(mode):
        raise UsageError(f"{place} is not a file: sockets, pipes and devices cannot be archived")
    return place


def _check_paths(places: Mapping[str, Path]) -> None:
    """The rules of the server, before hours are spent on hashing: UsageError with all paths that it would refuse."""
    faults = [f"{str(place)!r}: {fault}" for path, place in places.items() if (fault := path_fault(path))]
    if faults:
        raise UsageError(f"these names cannot be archived: {in_words(faults)}")


def hashed(file: File, advance: Callable[[int], None]) -> File:
    """The file with its hash, and with the size that it had while it was read."""
    digest, size = hashlib.sha256(), 0
    try:
        with opened(file) as source:
            while block := source.read(BLOCK):
                digest.update(block)
                size += len(block)
                advance(len(block))
    except OSError as error:
        raise FailedError(f"{file.place}: {error.strerror}") from None
    return msgspec.structs.replace(file, size=size, chk=digest.hexdigest())


def opened(file: File) -> BinaryIO:
    """Opens the file; a symbolic link that has taken its place meanwhile is not followed."""
    return open(os.open(file.place, os.O_RDONLY | os.O_NOFOLLOW), "rb")


def portions(files: Sequence[File]) -> Iterator[list[File]]:
    """As many at once as the server takes. The same files give the same portions, which makes a repeat harmless."""
    portion: list[File] = []
    room = ROOM
    for file in files:
        weight = len(file.path.encode())
        if portion and (len(portion) == MOST_FILES or weight > room):
            yield portion
            portion, room = [], ROOM
        portion.append(file)
        room -= weight
    if portion:
        yield portion
