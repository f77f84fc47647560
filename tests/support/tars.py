"""Files in memory as the archiver's packer sees them, and what a tar turns out to hold."""

import hashlib
import io
import tarfile
from collections.abc import AsyncGenerator, Mapping, Sequence

from services.archiver.archive.packing import Read, Tar
from services.archiver.catalogue.store.files import File


def listed(files: Mapping[str, bytes]) -> list[File]:
    """As registered, in the order in which the archiver's rows give them."""
    made = [File(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in files.items()]
    return sorted(made, key=lambda file: file.path)


def reading(files: Mapping[str, bytes], piece: int = 1000) -> Read:
    """The files' bytes, in pieces."""

    async def read(path: str) -> AsyncGenerator[bytes, None]:
        data = files[path]
        for at in range(0, len(data), piece):
            yield data[at : at + piece]

    return read


async def packed(name: str, files: Mapping[str, bytes], piece: int = 1000) -> tuple[Tar, bytes]:
    tar = Tar(name, listed(files))
    return tar, b"".join([chunk async for chunk in tar.stream(reading(files, piece))])


def members(data: bytes) -> dict[str, bytes]:
    """What Python's tarfile finds, in its order. Fails on anything but plain files."""
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar.getmembers():
            assert member.isreg(), member.name
            assert member.name not in found
            file = tar.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
    return found


def paths(found: Sequence[str], bag: str) -> list[str]:
    """The payload's paths among a tar's members."""
    return [name.removeprefix(f"{bag}/data/") for name in found if name.startswith(f"{bag}/data/")]
