"""Bytes straight to object storage, at addresses that were signed for it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from typing import Final, Protocol

import httpx

from shared.client.errors import ClientError, FailedError, UnreachableError
from shared.client.object_storage import ObjectStorage
from shared.client.upload_addresses import Addresses
from shared.runtime.retry import Backoff

AT_ONCE: Final = 4
TRIES: Final = 10
"""Tries of one upload, in about 20 s."""
BACKOFF = Backoff(first=0.3, ceiling=3)
"""Seconds between two tries."""


def _ignore(_: int) -> None:
    return


class Source(Protocol):
    """What is uploaded: `path` names it in errors; `size` bytes come from `blocks`, which may be called again."""

    @property
    def path(self) -> str: ...
    @property
    def size(self) -> int: ...
    def blocks(self) -> AsyncGenerator[bytes, None]: ...


async def upload_all(
    storage: ObjectStorage,
    sources: Iterable[Source],
    addresses: Addresses,
    advance: Callable[[int], None] = _ignore,
    *,
    arrived: Callable[[], None] = lambda: None,
    tries: int = TRIES,
) -> None:
    """Uploads each source to the address of its path. Returns when all are there; the first that fails stops the others.

    `advance` is called with the count of bytes sent, and with a negative count when a try has failed; `arrived` for each source
    that is there. `tries`: of each.
    """
    places, stop = asyncio.Semaphore(AT_ONCE), asyncio.Event()

    async def one(source: Source) -> None:
        async with places:
            if not stop.is_set():
                await upload(storage, addresses, source, advance, tries=tries, stop=stop)
                arrived()

    tasks = [asyncio.create_task(one(source)) for source in sources]
    try:
        for task in asyncio.as_completed(tasks):
            await task
    except ClientError:
        stop.set()
        await asyncio.wait(tasks)  # what is sent whole is answered yet
        raise
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _StoppedError(ClientError):
    """Another upload has failed; that one's error is the one that is raised."""


async def upload(
    storage: ObjectStorage,
    addresses: Addresses,
    source: Source,
    advance: Callable[[int], None] = _ignore,
    *,
    tries: int = TRIES,
    stop: asyncio.Event | None = None,
) -> None:
    """Uploads one source; tries again while object storage is away, and with a new address when that has expired. FailedError if
    it is refused.

    `stop`: once it is set, no further block is sent, and nothing is tried again.
    """
    stop = stop or asyncio.Event()
    failures, expired = 0, False
    while True:
        address = await addresses.of(source.path)
        sent = _Counter(advance, stop)
        problem: ClientError
        try:
            # With its length, which is signed: chunks are refused.
            headers = {**address.headers, "Content-Length": str(source.size)}
            async with aclosing(source.blocks()) as blocks:
                # Read before the request begins: a small file leaves together with the request's head.
                first = await anext(blocks, b"")
                content = sent.counted(first, blocks)
                client = storage.client(address.url)
                response = await client.put(address.url, content=content, headers=headers)
        except httpx.TransportError as error:
            problem = UnreachableError(
                f"{source.path}: object storage does not answer: {error or type(error).__name__}"
            )
        else:
            if response.is_success:
                addresses.arrived(source.path)
                return
            problem = FailedError(f"{source.path} was not taken: object storage answered {response.status_code}")
            if response.status_code == httpx.codes.FORBIDDEN and not expired:
                sent.undo()
                addresses.refused(source.path)
                expired = True
                continue
            if response.status_code < 500 and response.status_code != 429:
                raise problem
        sent.undo()
        failures, expired = failures + 1, False
        if failures == tries or stop.is_set():
            raise problem
        await asyncio.sleep(BACKOFF.delay(failures - 1))


class _Counter:
    """Reports the bytes of one try."""

    def __init__(self, advance: Callable[[int], None], stop: asyncio.Event) -> None:
        self._advance, self._stop, self._sent = advance, stop, 0

    async def counted(self, first: bytes, blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        block: bytes | None = first
        while block is not None:
            if self._stop.is_set():
                raise _StoppedError
            yield block
            self._sent += len(block)
            self._advance(len(block))
            block = await anext(blocks, None)

    def undo(self) -> None:
        self._advance(-self._sent)
