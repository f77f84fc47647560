"""Files straight to object storage, at addresses that the archiver has signed."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event

import httpx

from shared.client.cli.api import is_loopback
from shared.client.cli.files import BLOCK, File, opened
from shared.client.cli.trouble import CliError, FailedError, UnreachableError
from shared.runtime.retry import Backoff

AT_ONCE = 4
TRIES = 7
AGAIN = Backoff(first=0.3, ceiling=10)
_PATIENCE = httpx.Timeout(10, read=120, write=60, pool=None)


def upload(files: Sequence[File], urls: Mapping[str, str], advance: Callable[[int], None]) -> None:
    """Returns when all are there. The first that cannot be uploaded stops the others."""
    stop = Event()
    direct = all(is_loopback(url) for url in urls.values())
    with (
        httpx.Client(timeout=_PATIENCE, trust_env=not direct) as http,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        jobs = [pool.submit(_put, http, urls[file.path], file, advance, stop) for file in files]
        try:
            for job in as_completed(jobs):
                job.result()
        except BaseException:  # an interrupt too: the pool waits for its threads
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _StoppedError(CliError):
    """Another file has failed; that one's error is the one that is told."""


def _put(http: httpx.Client, url: str, file: File, advance: Callable[[int], None], stop: Event) -> None:
    tries = 0
    while True:
        body = _Body(file, advance, stop)
        problem: CliError
        try:
            # With its length: an address that is signed for one PUT takes no chunks.
            answer = http.put(url, content=body.blocks(), headers={"Content-Length": str(file.size)})
        except httpx.TransportError as error:
            problem = UnreachableError(f"{file.path}: object storage does not answer: {error or type(error).__name__}")
        else:
            if answer.is_success:
                return
            problem = FailedError(f"{file.path} was not taken: object storage answered {answer.status_code}")
            if answer.status_code < 500:
                raise problem
        advance(-body.sent)
        tries += 1
        if tries == TRIES or stop.wait(AGAIN.delay(tries - 1)):
            raise problem


class _Body:
    """What is registered, and not a byte more. The last block is sent only when the hash is right: an object that is there whole
    is the file, and a file that has changed since then is an error here, not over there."""

    def __init__(self, file: File, advance: Callable[[int], None], stop: Event) -> None:
        self._file, self._advance, self._stop = file, advance, stop
        self.sent = 0

    def blocks(self) -> Iterator[bytes]:
        digest, size, held = hashlib.sha256(), 0, b""
        try:
            with opened(self._file) as source:
                while size <= self._file.size and (block := source.read(BLOCK)):
                    if self._stop.is_set():
                        raise _StoppedError
                    if held:
                        yield held
                        self._count(held)
                    digest.update(block)
                    size, held = size + len(block), block
        except OSError as error:
            raise FailedError(f"{self._file.place}: {error.strerror}") from None
        if (size, digest.hexdigest()) != (self._file.size, self._file.chk):
            raise FailedError(
                f"{self._file.place} has changed while it was being archived: the same call again registers it anew"
            )
        if held:
            yield held
            self._count(held)

    def _count(self, block: bytes) -> None:
        self.sent += len(block)
        self._advance(len(block))
