"""A client of the HTTP edge for the benchmarks: submits, and knows every result as soon as the event stream tells of it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from http import HTTPStatus
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

import aiohttp
import msgspec

from shared.contracts.compute import Options, Session, Submission
from shared.contracts.events import Frame

_frame = msgspec.json.Decoder(Frame).decode


class Known(Protocol):
    """Counts ids, each once: a set, or what takes less room than one."""

    def update(self, ids: Iterable[UUID], /) -> None: ...
    def __len__(self) -> int: ...


class Client:
    def __init__(self, http: str, token: str) -> None:
        self._http = aiohttp.ClientSession(
            http, headers={"Authorization": f"Bearer {token}"}, timeout=aiohttp.ClientTimeout(total=None)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def session(self, function: str = "noop", priority: int | None = None) -> UUID:
        options = msgspec.to_builtins(Options(function=function, priority=priority))
        answer = await self._call("POST", "/compute/v1/sessions", msgspec.json.encode({"options": options}))
        return msgspec.json.decode(answer, type=Session).id

    async def look(self, session: UUID) -> Session:
        """With its counts."""
        return msgspec.json.decode(await self._call("GET", f"/compute/v1/sessions/{session}"), type=Session)

    async def submit(self, session: UUID, lines: bytes | AsyncIterator[bytes]) -> Submission:
        path = f"/compute/v1/sessions/{session}/submissions"
        return msgspec.json.decode(await self._call("POST", path, lines, "application/x-ndjson"), type=Submission)

    async def change(self, session: UUID, verb: str) -> None:
        """`pause`, `resume`, `close` or `cancel`."""
        await self._call("POST", f"/compute/v1/sessions/{session}/{verb}")

    async def delete(self, session: UUID) -> None:
        """Until it is gone, however long that takes."""
        while True:
            async with self._http.delete(f"/compute/v1/sessions/{session}") as answer:
                if answer.status == HTTPStatus.ACCEPTED:
                    continue
                if answer.status != HTTPStatus.NOT_FOUND:  # gone between two questions
                    answer.raise_for_status()
                return

    async def _call(
        self, verb: str, path: str, body: bytes | AsyncIterator[bytes] | None = None, kind: str = "application/json"
    ) -> bytes:
        async with self._http.request(verb, path, data=body, headers={"Content-Type": kind}) as answer:
            content = await answer.read()
            if not answer.ok:
                raise RuntimeError(content.decode())
            return content

    @asynccontextmanager
    async def results(self, session: UUID, known: Known | None = None) -> AsyncIterator["Results"]:
        """The results of a session as they are told, from before the block on. `known`: where they are counted."""
        async with self._http.get("/events", params={"session": str(session)}) as answer:
            answer.raise_for_status()
            results = Results(answer, set() if known is None else known)
            await results.connected()
            reading = asyncio.create_task(results.read())
            try:
                yield results
            finally:
                reading.cancel()


class Results:
    """Reads server-sent events; counts each id once."""

    def __init__(self, answer: aiohttp.ClientResponse, known: Known) -> None:
        self._chunks = aiter(answer.content.iter_any())
        self._known = known
        self._failed: list[UUID] = []
        self._news = asyncio.Event()

    async def connected(self) -> None:
        await anext(self._chunks)

    async def read(self) -> None:
        rest = b""
        async for chunk in self._chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.startswith(b"data:") and b'"results"' in line:
                    frame = _frame(line[5:])
                    self._known.update(frame.results)
            self._news.set()

    async def all(self, count: int, timeout: float = 300) -> None:
        """Until `count` results are known."""
        async with asyncio.timeout(timeout):
            while len(self._known) < count:
                self._news.clear()
                await self._news.wait()

    def __len__(self) -> int:
        return len(self._known)


def independent(count: int) -> bytes:
    """Tasks that wait for nothing."""
    return b"{}\n" * count


def chain(count: int) -> bytes:
    """Each task waits for the one before."""
    return _lines([f'{{"inputs":["@{n - 1}"]}}' if n else "{}" for n in range(count)])


def layers(depth: int, width: int) -> tuple[bytes, int]:
    """Layers of `width` tasks, each layer closed by one that joins it and opens the next. How many tasks, too."""
    lines: list[str] = []
    for layer in range(depth):
        before = f'{{"inputs":["@{len(lines) - 1}"]}}' if layer else "{}"
        first = len(lines)
        lines += [before] * width
        lines.append('{"inputs":[' + ",".join(f'"@{first + n}"' for n in range(width)) + "]}")
    return _lines(lines), len(lines)


def _lines(lines: Iterable[str]) -> bytes:
    return "\n".join(lines).encode() + b"\n"
