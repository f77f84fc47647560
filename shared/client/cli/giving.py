"""Values up and down: a file becomes a result's value, a result's value a file. Compared by their checksums."""

import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from shared.client.cli import bars
from shared.client.cli.api import ROOT, Api
from shared.client.cli.fetch import Clients, Wanted, fetch, sha256
from shared.client.cli.steady import Steady
from shared.client.cli.trouble import FailedError, RefusedError, UnreachableError, UsageError
from shared.client.cli.unnamed import resumable
from shared.contracts.digest import format_digest as digest

BLOCK = 256 * 1024
TRIES = 5
"""For a file that the edge does not take whole."""


class Source(msgspec.Struct, frozen=True):
    """`place` None: stdin, which can be read once. `size`: 0 if it is not known."""

    name: str
    place: Path | None
    size: int


def source(file: Path) -> Source:
    """UsageError if it cannot be read."""
    if str(file) == "-":
        return Source("stdin", None, 0)
    try:
        with file.open("rb"):
            return Source(file.name[-255:], file, file.stat().st_size)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None


def give(api: Api, result: str, given: Source, advance: Callable[[int], None]) -> dict[str, Any]:
    """The result with its value. A file is sent again where nobody knows whether it has arrived."""
    if given.place is None:
        return _once(api, result, given, sys.stdin.buffer, "", advance)
    steady, checksum, tries = Steady(api), sha256(given.place), 1
    if (state := steady.get(f"{ROOT}/results/{result}")["status"]) != "created":
        raise FailedError(f"result {result} is {state}: a value can only be given while it is created")
    while True:
        sent = _Count(advance)
        try:
            with given.place.open("rb") as file:
                return _once(api, result, given, file, checksum, sent)
        except OSError as error:
            raise FailedError(f"{given.place}: {error.strerror}") from None
        except (RefusedError, UnreachableError) as error:
            passing = isinstance(error, UnreachableError) or error.status >= 500
            if tries == TRIES or not (passing or tries > 1):
                raise
            now = steady.get(f"{ROOT}/results/{result}")
            if (now["status"], now["checksum"]) == ("completed", checksum):
                return now  # type: ignore[no-any-return]
            if not passing:
                raise
            sent.undo()
            tries += 1


def _once(
    api: Api, result: str, given: Source, file: BinaryIO, checksum: str, advance: Callable[[int], None]
) -> dict[str, Any]:
    running = hashlib.sha256()
    headers = {"Content-Type": "application/octet-stream"}
    if checksum:
        headers |= {"Repr-Digest": digest(checksum), "Content-Length": str(given.size)}

    def blocks() -> Iterator[bytes]:
        while block := file.read(BLOCK):
            running.update(block)
            yield block
            advance(len(block))

    made: dict[str, Any] = api.put(f"{ROOT}/results/{result}/data", blocks(), headers)
    if made["checksum"] != running.hexdigest():
        raise FailedError(f"what arrived hashes to {made['checksum']}, not to {running.hexdigest()}")
    return made


class _Count:
    """What was sent, to be taken back from the bar."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self._advance, self._sent = advance, 0

    def __call__(self, count: int) -> None:
        self._sent += count
        self._advance(count)

    def undo(self) -> None:
        self._advance(-self._sent)


def take(api: Api, result: str, to: Path, *, quiet: bool) -> int:
    """Bytes written. What is not complete lies beside its place under another name, and is gone on with the next time; not if
    the disk is full."""
    about = api.get(f"{ROOT}/results/{result}")
    if about["status"] != "completed":
        raise FailedError(f"result {result} is {about['status']}: only a completed one has a value")
    part = to.with_name(f"{to.name}.{about['id']}.part")
    address = api.address
    headers = {"Authorization": f"Bearer {address.token}", "If-Range": f'"{about["checksum"] or about["id"]}"'}
    wanted = Wanted(
        f"result {result}",
        about["size"],
        about["checksum"],
        lambda: f"{address.url}{ROOT}/results/{result}/data",
        headers,
    )
    try:
        with (
            Clients() as clients,
            resumable(part) as file,
            bars.by_bytes("download", about["size"], quiet=quiet) as advance,
        ):
            if not about["checksum"]:  # nobody could tell whether the beginning is right
                file.file.truncate(0)
            at = 0

            def report(now: int) -> None:
                nonlocal at
                advance(now - at)
                at = now

            fetch(clients, wanted, file, report)
            file.place(to)
    except OSError as error:
        raise UsageError(f"{to}: {error.strerror}") from None
    return int(about["size"])
