"""The files of a datablock: a BagIt bag in a tar, its manifest in it. Nothing outside of the folder is written.

Each file is written without a name and gets its own when its hash is that of the manifest: what is there is right.
"""

import os
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from shared.client.cli.file_names import FileNames
from shared.client.downloads import sha256, sha256_of
from shared.client.errors import FailedError
from shared.client.partial_file import BLOCK, partial_file
from shared.contracts.errors import Invalid, TooLarge
from shared.objects.layout import check_path
from shared.objects.tar_reader import TarReader

NAMED = 5
"""Files that an error names; the others are counted."""
LARGEST_MANIFEST = 512 * 1024 * 1024
"""Bytes: of some millions of files."""


class Unpacked(msgspec.Struct):
    """`there`: files that were there before, as they should be."""

    written: int = 0
    there: int = 0
    size: int = 0


class Payload(msgspec.Struct, frozen=True):
    """A file of a datablock: its name in the tar, its bytes, the path that it is written to, and its SHA-256 in hex."""

    name: str
    size: int
    target: Path
    chk: str


def unpack(source: BinaryIO, bag: str, folder: Path, *, force: bool, reserved: Set[Path], names: FileNames) -> Unpacked:
    """FailedError, and nothing written, if a file is there that is another, unless `force`.

    `reserved`: places that its files cannot have: where the tar will be. `names`: of all files of the dataset so far.
    """
    done = Unpacked()
    with _reading(bag), TarReader(source) as tar:
        payload = _payload(tar, bag, folder)
        for one in payload:
            if one.target in reserved:
                raise FailedError(f"{one.target}: a file of the dataset has the name of a datablock's download")
        names.add(one.target.relative_to(folder).as_posix() for one in payload)
        missing = [one for one in payload if not _is_there(one.target, one.size, one.chk)]
        if not force and (others := [one for one in missing if os.path.lexists(one.target)]):
            # Looked at once more: another call may have unpacked them meanwhile.
            _refuse([str(one.target) for one in others if not _is_there(one.target, one.size, one.chk)])
        done.there = len(payload) - len(missing)
        for one in missing:
            _write(tar, one)
            done.written += 1
        done.size = sum(one.size for one in payload)
    return done


def are_there(files: Iterable[dict[str, Any]], folder: Path, names: FileNames) -> Unpacked | None:
    """None unless all these files (of the catalogue: path, size, chk) are in the folder, as they should be."""
    listed = list(files)
    try:
        for one in listed:
            check_path(one["path"])
    except Invalid:
        return None
    if not listed or any(not _is_there(folder / one["path"], one["size"], one["chk"]) for one in listed):
        return None
    names.add(one["path"] for one in listed)
    return Unpacked(there=len(listed), size=sum(one["size"] for one in listed))


def _refuse(others: list[str]) -> None:
    if others:
        more = f", and {len(others) - NAMED} more" if len(others) > NAMED else ""
        raise FailedError(f"there already, with other content (--force replaces): {', '.join(others[:NAMED])}{more}")


def _payload(tar: TarReader, bag: str, folder: Path) -> list[Payload]:
    """What lies under `<bag>/data/`, each with its hash, in the order of the tar."""
    root, checksums = f"{bag}/data/", _manifest(tar, bag)
    found = []
    for name, member in tar.files.items():
        if not name.startswith(root):
            continue
        path = name.removeprefix(root)
        if path not in checksums:
            raise FailedError(f"{bag}: the manifest does not name {path!r}")
        found.append(Payload(name, member.size, _target(tar, name, path, folder), checksums.pop(path)))
    if checksums:
        raise FailedError(f"{bag}: {min(checksums)!r} is missing from it")
    return found


def _target(tar: TarReader, name: str, path: str, folder: Path) -> Path:
    try:
        return tar.target(name, path, folder)
    except Invalid as error:
        raise FailedError(f"{path!r} is not unpacked: {error.message}") from None


def _manifest(tar: TarReader, bag: str) -> dict[str, str]:
    """Path → SHA-256. RFC 8493 encodes line ends and percent signs in paths."""
    try:
        manifest = tar.read(f"{bag}/manifest-sha256.txt", limit=LARGEST_MANIFEST)
    except KeyError:
        raise FailedError(f"{bag}: there is no manifest-sha256.txt in it") from None
    checksums = {}
    for line in manifest.decode().split("\n"):  # not `splitlines`: what else ends a line for that may be in a name
        if not line:
            continue
        chk, _, path = line.partition("  ")
        for code, character in (("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
            path = path.replace(code, character)
        checksums[path.removeprefix("data/")] = chk
    return checksums


def _is_there(target: Path, size: int, chk: str) -> bool:
    try:
        return not target.is_symlink() and target.is_file() and target.stat().st_size == size and sha256(target) == chk
    except FileNotFoundError:  # moved away meanwhile
        return False


def _write(tar: TarReader, one: Payload) -> None:
    one.target.parent.mkdir(parents=True, exist_ok=True)
    with tar.open(one.name) as source, partial_file(one.target.parent) as part:
        while block := source.read(BLOCK):
            part.write(block)
        if (came := sha256_of(part.file)) != one.chk:
            raise FailedError(f"{one.target}: its bytes hash to {came}, the manifest says {one.chk}")
        part.place(one.target)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except (Invalid, TooLarge, UnicodeDecodeError) as error:
        raise FailedError(f"{name}.tar is not a datablock: {error}") from None
