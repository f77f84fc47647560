"""A datablock from object storage into a file: it goes on where the connection broke, and counts only with the right hash."""

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Self

import httpx
import msgspec

from shared.client.cli.api import is_loopback
from shared.client.cli.trouble import CliError, FailedError, UnreachableError
from shared.client.cli.unnamed import BLOCK, Unnamed
from shared.runtime.retry import Backoff

TRIES = 7
"""In a row, without a byte more."""
AGAIN = Backoff(first=0.3, ceiling=10)
_PATIENCE = httpx.Timeout(10, read=60)


def _nothing() -> None:
    return


class Wanted(msgspec.Struct, frozen=True):
    """`address` gives the one to ask. `refused` is called when it was refused: it has expired. `chk`: SHA-256 in hex; empty:
    nobody knows it. `headers`: sent along."""

    name: str
    size: int
    chk: str
    address: Callable[[], str]
    headers: Mapping[str, str] = {}
    refused: Callable[[], None] = _nothing


class Clients:
    """The connections of many downloads: to make a client anew for each costs more than a small download."""

    def __init__(self) -> None:
        self._made: dict[bool, httpx.Client] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for client in self._made.values():
            client.close()

    def of(self, url: str) -> httpx.Client:
        """The one for this address: a proxy from the environment is of no use for one on this machine."""
        direct = is_loopback(url)
        if direct not in self._made:
            self._made[direct] = httpx.Client(timeout=_PATIENCE, trust_env=not direct)
        return self._made[direct]


class _AgainError(Exception):
    """It may work another time."""


def fetch(clients: Clients, want: Wanted, part: Unnamed, report: Callable[[int], None]) -> None:
    """`part` holds all of it when this returns, and may hold its beginning before. `report`: how many bytes are there."""
    tries, whole = 0, True
    while True:
        before = _held(part)
        problem: CliError
        try:
            _read(clients, want, part, report)
        except (httpx.TransportError, _AgainError) as error:
            problem = UnreachableError(f"{want.name}: object storage does not answer: {error or type(error).__name__}")
        else:
            if not want.chk or (came := sha256_of(part.file)) == want.chk:
                return
            problem = FailedError(f"{want.name} is not what it should be: it hashes to {came}, not to {want.chk}")
            part.file.truncate(0)
            if before == 0 or not whole:
                raise problem
            whole = False  # what was there from an earlier call may have been another's: once more, from its start
        tries = tries + 1 if _held(part) <= before else 1
        if tries == TRIES:
            raise problem
        time.sleep(AGAIN.delay(tries - 1))


def _read(clients: Clients, want: Wanted, part: Unnamed, report: Callable[[int], None]) -> None:
    start = _held(part)
    if start > want.size:
        part.file.truncate(0)
        start = 0
    if start == want.size and start:
        return
    url = want.address()
    headers = {"Accept-Encoding": "identity", **want.headers} | ({"Range": f"bytes={start}-"} if start else {})
    with clients.of(url).stream("GET", url, headers=headers) as answer:
        resumed = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        if not resumed and answer.status_code != 200:
            if answer.status_code == 403:
                want.refused()
            if answer.status_code in (403, 416) or answer.status_code >= 500:  # expired; nothing there to go on from
                raise _AgainError(f"it answered {answer.status_code}")
            raise FailedError(f"{want.name} cannot be had: object storage answered {answer.status_code}")
        at = start if resumed else 0
        part.file.truncate(at)
        part.file.seek(at)
        for chunk in answer.iter_raw(BLOCK):
            part.write(chunk[: want.size - at])
            at = min(at + len(chunk), want.size)
            report(at)
        if at < want.size:
            raise _AgainError(f"it sent {at} of {want.size} bytes")


def sha256(path: Path) -> str:
    with path.open("rb") as source:
        return sha256_of(source)


def sha256_of(source: BinaryIO) -> str:
    """Of the whole file, wherever it is read now."""
    digest = hashlib.sha256()
    source.seek(0)
    while block := source.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _held(part: Unnamed) -> int:
    return part.file.seek(0, 2)
