"""Bytes into a file: a download goes on where the connection broke, and counts only with the right hash."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

import httpx
import msgspec

from shared.client.errors import ClientError, FailedError, UnreachableError
from shared.client.object_storage import ObjectStorage
from shared.client.partial_file import BLOCK, PartialFile
from shared.runtime.retry import Backoff

TRIES: Final = 7
"""Failures in a row without a byte more."""
BACKOFF = Backoff(first=0.3, ceiling=10)
"""Seconds between two tries."""


def _nothing() -> None:
    return


class Source(msgspec.Struct, frozen=True):
    """What is downloaded.

    name      for people
    size      bytes
    checksum  SHA-256 in hex; empty if nobody knows it
    address   asked before each try
    headers   sent along
    refused   called when the address was refused: it has expired
    """

    name: str
    size: int
    checksum: str
    address: Callable[[], Awaitable[str]]
    headers: Mapping[str, str] = {}
    refused: Callable[[], None] = _nothing


class _AgainError(Exception):
    """It may work another time."""


async def download(storage: ObjectStorage, source: Source, part: PartialFile, report: Callable[[int], None]) -> None:
    """Returns when `part` holds all of `source`; it may hold its beginning before. `report`: how many bytes are there."""
    tries, whole = 0, True
    while True:
        before = part.size()
        problem: ClientError
        try:
            await _read(storage, source, part, report)
        except (httpx.TransportError, _AgainError) as error:
            problem = UnreachableError(
                f"{source.name}: object storage does not answer: {error or type(error).__name__}"
            )
        else:
            if not source.checksum:
                return
            found = await asyncio.to_thread(sha256_of, part.file)
            if found == source.checksum:
                return
            problem = FailedError(
                f"{source.name} is not what it should be: it hashes to {found}, not to {source.checksum}"
            )
            part.file.truncate(0)
            if before == 0 or not whole:
                raise problem
            whole = False  # what was there from an earlier call may have been another's: once more, from its start
        tries = tries + 1 if part.size() <= before else 1
        if tries == TRIES:
            raise problem
        await asyncio.sleep(BACKOFF.delay(tries - 1))


async def _read(storage: ObjectStorage, source: Source, part: PartialFile, report: Callable[[int], None]) -> None:
    start = part.size()
    if start > source.size:
        part.file.truncate(0)
        start = 0
    if start == source.size and start:
        return
    url = await source.address()
    headers = {"Accept-Encoding": "identity", **source.headers} | ({"Range": f"bytes={start}-"} if start else {})
    async with storage.client(url).stream("GET", url, headers=headers) as response:
        resumed = response.status_code == 206 and response.headers.get("Content-Range", "").startswith(
            f"bytes {start}-"
        )
        if not resumed and response.status_code != 200:
            if response.status_code == 403:
                source.refused()
            if response.status_code in (403, 416) or response.status_code >= 500:  # expired; nothing to go on from
                raise _AgainError(f"it answered {response.status_code}")
            raise FailedError(f"{source.name} cannot be had: object storage answered {response.status_code}")
        at = start if resumed else 0
        part.file.truncate(at)
        part.file.seek(at)
        async for chunk in response.aiter_raw(BLOCK):
            await asyncio.to_thread(part.write, chunk[: source.size - at])
            at = min(at + len(chunk), source.size)
            report(at)
        if at < source.size:
            raise _AgainError(f"it sent {at} of {source.size} bytes")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as source:
        return sha256_of(source)


def sha256_of(source: BinaryIO) -> str:
    """The SHA-256 of a whole open file, wherever it is read now, in hex."""
    digest = hashlib.sha256()
    source.seek(0)
    while block := source.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()
