"""The S3 adapter when the store goes away, before, while and after it does what was asked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

import msgspec
import pytest
import pytest_asyncio

from shared.contracts.errors import AlreadyExists, Unavailable
from shared.objects.s3 import S3Objects, open_objects
from shared.objects.settings import ObjectsSettings
from shared.runtime.retry import Backoff
from shared.testing.conformance_objects import fresh, noise, stream, whole
from tests.support.buckets import Bucket

MIB = 1024 * 1024
PART = 5 * MIB


class Line:
    """A connection to the store that can be cut: `cut_answer(request)` says after how many bytes, None: not at all."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.down = False
        self.requests: list[bytes] = []
        self.cut_answer: Callable[[bytes], int | None] = lambda request: None
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.down:
            writer.transport.abort()
            return
        up_reader, up_writer = await asyncio.open_connection(self.host, self.port)
        allowed: list[int | None] = [None]

        async def there() -> None:
            while data := await reader.read(65536):
                line = data.split(b"\r\n", 1)[0]
                if line.endswith(b"HTTP/1.1"):
                    self.requests.append(line)
                    allowed[0] = self.cut_answer(line)
                up_writer.write(data)
                await up_writer.drain()

        async def back() -> None:
            while data := await up_reader.read(65536):
                if allowed[0] is not None:
                    data, allowed[0] = data[: allowed[0]], allowed[0] - len(data)
                    writer.write(data)
                    await writer.drain()
                    if allowed[0] <= 0:
                        return
                else:
                    writer.write(data)
                    await writer.drain()

        tasks = [asyncio.create_task(there()), asyncio.create_task(back())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for side in (writer, up_writer):
            side.close()
            with contextlib.suppress(OSError):
                await side.wait_closed()


@pytest_asyncio.fixture
async def line(s3: Bucket) -> AsyncIterator[tuple[Line, S3Objects]]:
    where = urlsplit(s3.s3_endpoint)
    line = Line(where.hostname or "", where.port or 0)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    plain = msgspec.convert(s3, ObjectsSettings, from_attributes=True)
    settings = msgspec.structs.replace(plain, s3_endpoint=f"http://127.0.0.1:{port}", s3_patience=1.5)
    async with open_objects(settings, part=PART, backoff=Backoff(first=0.02, ceiling=0.1)) as objects:
        yield line, objects
    server.close()


def once(verb: bytes, contains: bytes = b"", after: int = 0) -> Callable[[bytes], int | None]:
    """Cuts the answer to the first such request after so many bytes."""
    done = False

    def cut(request: bytes) -> int | None:
        nonlocal done
        if done or not request.startswith(verb) or contains not in request:
            return None
        done = True
        return after

    return cut


async def test_an_answer_lost_after_the_put_is_no_clash(line: tuple[Line, S3Objects]) -> None:
    wire, objects = line
    key, data = fresh(), b"mine" * 1000
    wire.cut_answer = once(b"PUT")
    assert (await objects.put(key, data)).size == len(data)
    assert len([r for r in wire.requests if r.startswith(b"PUT") and key.encode() in r]) == 2
    assert await objects.read(key, limit=9999) == data
    wire.cut_answer = once(b"PUT")
    with pytest.raises(AlreadyExists):
        await objects.put(key, data)


@pytest.mark.parametrize(
    ("verb", "contains"), [(b"POST", b"uploads"), (b"PUT", b"partNumber=2"), (b"POST", b"uploadId")]
)
async def test_an_answer_lost_in_an_upload(line: tuple[Line, S3Objects], verb: bytes, contains: bytes) -> None:
    wire, objects = line
    key, data = fresh(), noise(3 * PART)
    wire.cut_answer = once(verb, contains)
    assert (await objects.put(key, stream(data))).size == len(data)
    assert await whole(objects.get(key)) == data


async def test_reading_goes_on_where_it_was(line: tuple[Line, S3Objects]) -> None:
    wire, objects = line
    key, data = fresh(), noise(3 * MIB)
    await objects.put(key, data)
    wire.cut_answer = once(b"GET", key.encode(), after=MIB + 7)
    assert await whole(objects.get(key)) == data
    wire.cut_answer = once(b"GET", key.encode(), after=MIB)
    assert await whole(objects.get(key, start=5, end=2 * MIB)) == data[5 : 2 * MIB]


async def test_a_store_that_comes_back_is_waited_for(line: tuple[Line, S3Objects]) -> None:
    wire, objects = line
    key = fresh()
    wire.down = True
    wire.cut_answer = lambda request: 0  # connections that are open already
    putting = asyncio.create_task(objects.put(key, b"x"))
    asyncio.get_running_loop().call_later(0.3, setattr, wire, "cut_answer", lambda request: None)
    asyncio.get_running_loop().call_later(0.3, setattr, wire, "down", False)
    await putting
    assert await objects.read(key, limit=9) == b"x"


async def test_a_store_that_stays_away_is_unavailable(line: tuple[Line, S3Objects], s3: Bucket) -> None:
    wire, objects = line
    key, sent = fresh(), 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(4):
            yield noise(PART)
            sent += 1
        wire.down, wire.cut_answer = True, lambda request: 0
        yield noise(PART)

    with pytest.raises(Unavailable):
        await objects.put(key, source())
    assert sent == 4
    assert "away" in await objects.check()
    with pytest.raises(Unavailable):
        await objects.head(key)
    async with open_objects(msgspec.convert(s3, ObjectsSettings, from_attributes=True)) as other:
        assert await other.head(key) is None


async def test_no_room_is_lost_to_uploads_that_failed(line: tuple[Line, S3Objects]) -> None:
    _, objects = line
    for _ in range(6):
        reached = asyncio.Event()

        async def source(reached: asyncio.Event = reached) -> AsyncIterator[bytes]:
            yield noise(2 * PART)
            reached.set()
            yield noise(2 * PART)
            raise ZeroDivisionError

        putting = asyncio.create_task(objects.put(fresh(), source()))
        await reached.wait()
        putting.cancel()
        await asyncio.wait([putting])
        with pytest.raises(ZeroDivisionError):
            await objects.put(fresh(), source())
    data = noise(6 * PART)
    key = fresh()
    async with asyncio.timeout(30):
        await objects.put(key, data)
    assert await whole(objects.get(key)) == data
