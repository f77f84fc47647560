"""Values of results, up and down: a file becomes a value, a value a file. Both are compared by their checksums."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, BinaryIO, Final

from shared.client import downloads
from shared.client.downloads import download, sha256
from shared.client.errors import FailedError, RefusedError, UnavailableError, UnreachableError, UsageError
from shared.client.http import Http
from shared.client.object_storage import ObjectStorage
from shared.client.partial_file import resumable
from shared.client.paths import COMPUTE
from shared.contracts.digest import format_digest

BLOCK: Final = 256 * 1024
TRIES: Final = 5
"""For a file that the edge does not take whole."""

Advance = Callable[[int], None]
"""Called with the count of bytes that were moved, and with a negative count when a try has failed."""


def _ignore(_: int) -> None:
    return


async def upload_value(http: Http, result: str, file: Path, advance: Advance = _ignore) -> dict[str, Any]:
    """The result with the file as its value. The file is sent again where nobody knows whether it has arrived."""
    path = f"{COMPUTE}/results/{result}"
    checksum, size = await asyncio.to_thread(_described, file)
    if (state := (await http.get(path))["status"]) != "created":
        raise FailedError(f"result {result} is {state}: a value can only be given while it is created")
    tries = 1
    while True:
        sent = 0

        def count(bytes: int) -> None:
            nonlocal sent
            sent += bytes
            advance(bytes)

        try:
            with file.open("rb") as source:
                return await _send(http, result, source, count, checksum, size)
        except OSError as error:
            raise FailedError(f"{file}: {error.strerror}") from None
        except (RefusedError, UnreachableError) as error:
            passing = isinstance(error, UnreachableError | UnavailableError)
            if tries == TRIES or not (passing or tries > 1):
                raise
            now: dict[str, Any] = await http.get(path)
            if (now["status"], now["checksum"]) == ("completed", checksum):
                return now
            if not passing:
                raise
            advance(-sent)
            tries += 1


async def stream_value(http: Http, result: str, source: BinaryIO, advance: Advance = _ignore) -> dict[str, Any]:
    """The result with all that `source` gives as its value; sent once, since it may be a pipe."""
    return await _send(http, result, source, advance)


async def _send(
    http: Http, result: str, source: BinaryIO, advance: Advance, checksum: str = "", size: int = 0
) -> dict[str, Any]:
    running = hashlib.sha256()
    headers = {"Content-Type": "application/octet-stream"}
    if checksum:
        headers |= {"Repr-Digest": format_digest(checksum), "Content-Length": str(size)}

    async def blocks() -> AsyncIterator[bytes]:
        while block := source.read(BLOCK):
            running.update(block)
            yield block
            advance(len(block))

    response = await http.send("PUT", f"{COMPUTE}/results/{result}/data", content=blocks(), headers=headers)
    made: dict[str, Any] = response.json()
    if made["checksum"] != running.hexdigest():
        raise FailedError(f"what arrived hashes to {made['checksum']}, not to {running.hexdigest()}")
    return made


def _described(file: Path) -> tuple[str, int]:
    """SHA-256 in hex, and bytes."""
    try:
        return sha256(file), file.stat().st_size
    except OSError as error:
        raise FailedError(f"{file}: {error.strerror}") from None


async def download_value(http: Http, result: str, to: Path, advance: Callable[[int, int], None]) -> int:
    """Writes a value to the file `to`; returns its bytes. `advance` is called with the bytes that came, and all there are.

    What is not complete lies beside its place under another name, and is gone on with the next time; not if the disk is full.
    """
    about = await http.get(f"{COMPUTE}/results/{result}")
    if about["status"] != "completed":
        raise FailedError(f"result {result} is {about['status']}: only a completed one has a value")
    checksum, size = about["checksum"], int(about["size"])
    source = downloads.Source(
        f"result {result}",
        size,
        checksum,
        _address(f"{http.address.url}{COMPUTE}/results/{result}/data"),
        {"Authorization": f"Bearer {http.address.token}", "If-Range": f'"{checksum or about["id"]}"'},
    )
    held = 0

    def report(now: int) -> None:
        nonlocal held
        advance(now - held, size)
        held = now

    try:
        async with ObjectStorage() as storage:
            with resumable(to.with_name(f"{to.name}.{about['id']}.part")) as part:
                if not checksum:  # nothing shows whether the beginning is right
                    part.file.truncate(0)
                await download(storage, source, part, report)
                part.place(to)
    except OSError as error:
        raise UsageError(f"{to}: {error.strerror}") from None
    return size


def _address(url: str) -> Callable[[], Any]:
    async def address() -> str:
        return url

    return address
