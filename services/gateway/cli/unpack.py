"""The files of a datablock: a BagIt bag in a tar, its manifest in it. Nothing outside of the folder is written.

Each file is written beside its place and moved there when its hash is that of the manifest: what is there is right.
"""

import os
import tarfile
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

import msgspec

from services.gateway.cli.fetch import sha256
from services.gateway.cli.trouble import FailedError
from shared.contracts.errors import Invalid
from shared.objects.layout import check_name

BLOCK = 1024 * 1024
NAMED = 5
"""Files that an error names; the others are counted."""
_WRITING = ".headrace-"


class Unpacked(msgspec.Struct):
    """`there`: files that were there before, as they should be."""

    written: int = 0
    there: int = 0
    size: int = 0


class Payload(msgspec.Struct, frozen=True):
    member: tarfile.TarInfo
    target: Path
    chk: str


def unpack(source: Path, bag: str, folder: Path, *, force: bool, reserved: Set[Path]) -> Unpacked:
    """FailedError, and nothing written, if a file is there that is another, unless `force`.

    `reserved`: places that its files cannot have: where it is read from, where the tar will be.
    """
    done = Unpacked()
    with _reading(source.name), tarfile.open(source, "r:") as tar:
        payload = _payload(tar, bag, folder)
        for one in payload:
            if one.target in reserved:
                raise FailedError(f"{one.target}: a file of the dataset has the name of a datablock's download")
        missing = [one for one in payload if not _is_there(one)]
        if not force and (others := [str(one.target) for one in missing if os.path.lexists(one.target)]):
            more = f", and {len(others) - NAMED} more" if len(others) > NAMED else ""
            raise FailedError(
                f"there already, with other content (--force replaces): {', '.join(others[:NAMED])}{more}"
            )
        done.there = len(payload) - len(missing)
        for one in missing:
            _write(tar, one)
            done.written += 1
        done.size = sum(one.member.size for one in payload)
    return done


def _payload(tar: tarfile.TarFile, bag: str, folder: Path) -> list[Payload]:
    """What lies under `<bag>/data/`, each with its hash, in the order of the tar."""
    root, said = f"{bag}/data/", _manifest(tar, bag)
    found = []
    for member in tar.getmembers():
        if not member.name.startswith(root):
            continue
        path = member.name.removeprefix(root)
        if path not in said:
            raise FailedError(f"{bag}: the manifest does not name {path!r}")
        found.append(Payload(member, _target(member, path, folder), said.pop(path)))
    if said:
        raise FailedError(f"{bag}: {min(said)!r} is missing from it")
    return found


def _target(member: tarfile.TarInfo, path: str, folder: Path) -> Path:
    """Where it belongs. Our own rules for names, then tarfile's for what the folder is like: links in it may lead out."""
    try:
        for name in path.split("/"):
            check_name(name)
        if not member.isreg():
            raise Invalid("not a plain file")
        tarfile.data_filter(member.replace(name=path, deep=False), str(folder))
    except (Invalid, tarfile.FilterError) as error:
        raise FailedError(f"{path!r} is not unpacked: {error}") from None
    return folder / path


def _manifest(tar: tarfile.TarFile, bag: str) -> dict[str, str]:
    """Path → SHA-256. RFC 8493 encodes line ends and percent signs in paths."""
    try:
        file = tar.extractfile(f"{bag}/manifest-sha256.txt")
    except KeyError:
        file = None
    if file is None:
        raise FailedError(f"{bag}: there is no manifest-sha256.txt in it")
    said = {}
    for line in file.read().decode().splitlines():
        chk, _, path = line.partition("  ")
        for code, character in (("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
            path = path.replace(code, character)
        said[path.removeprefix("data/")] = chk
    return said


def _is_there(one: Payload) -> bool:
    if one.target.is_symlink() or not one.target.is_file():
        return False
    return one.target.stat().st_size == one.member.size and sha256(one.target) == one.chk


def _write(tar: tarfile.TarFile, one: Payload) -> None:
    one.target.parent.mkdir(parents=True, exist_ok=True)
    part = one.target.parent / f"{_WRITING}{uuid4().hex}"
    source: IO[bytes] | None = tar.extractfile(one.member)
    assert source is not None
    try:
        with part.open("xb") as file:
            while block := source.read(BLOCK):
                file.write(block)
        if (came := sha256(part)) != one.chk:
            raise FailedError(f"{one.target}: its bytes hash to {came}, the manifest says {one.chk}")
        part.replace(one.target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, UnicodeDecodeError) as error:
        raise FailedError(f"{name} is not a datablock: {error}") from None
