"""A client of the HTTP edge for the benchmarks: submits, and knows every result as soon as the event stream tells of it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self
from uuid import UUID

import aiohttp
import msgspec

from shared.contracts.compute import Session, Submission
from shared.contracts.events import Frame

_frame = msgspec.json.Decoder(Frame).decode


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

    async def session(self, function: str = "noop") -> UUID:
        answer = await self._post("/compute/v1/sessions", msgspec.json.encode({"options": {"function": function}}))
        return msgspec.json.decode(answer, type=Session).id

    async def submit(self, session: UUID, lines: bytes) -> Submission:
        answer = await self._post(f"/compute/v1/sessions/{session}/submissions", lines, "application/x-ndjson")
        return msgspec.json.decode(answer, type=Submission)

    async def close(self, session: UUID) -> None:
        await self._post(f"/compute/v1/sessions/{session}/close")

    async def _post(self, path: str, body: bytes = b"", kind: str = "application/json") -> bytes:
        async with self._http.post(path, data=body, headers={"Content-Type": kind}) as answer:
            content = await answer.read()
            if not answer.ok:
                raise RuntimeError(content.decode())
            return content

    @asynccontextmanager
    async def results(self, session: UUID) -> AsyncIterator["Results"]:
        """The results of a session as they are told, from before the block on."""
        async with self._http.get("/events", params={"session": str(session)}) as answer:
            answer.raise_for_status()
            results = Results(answer)
            await results.connected()
            reading = asyncio.create_task(results.read())
            try:
                yield results
            finally:
                reading.cancel()


class Results:
    """Reads server-sent events; counts each id once."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._chunks = aiter(answer.content.iter_any())
        self._known: set[UUID] = set()
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
