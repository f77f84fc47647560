"""A client of the HTTP edge that outlives faults: it asks again, and its event stream goes on where it was."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx
import msgspec

from shared.contracts.compute import Session, Submission
from shared.contracts.events import Frame
from tests.support.wait import wait_until

_frame = msgspec.json.Decoder(Frame).decode
AWAY = (502, 503, 504)


class Edge:
    """One user at one gateway."""

    def __init__(self, http: str, token: str) -> None:
        self.http = httpx.AsyncClient(
            base_url=http, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """An answer that is not about an outage; asks for at most 30 s. For what may be asked twice."""
        answer: httpx.Response | None = None

        async def answered() -> bool:
            nonlocal answer
            try:
                answer = await self.http.request(method, path, **options)
            except httpx.TransportError:
                return False
            return answer.status_code not in AWAY

        await wait_until(answered, timeout=30, every=0.1, on_timeout=lambda: answer and answer.text)
        assert answer is not None
        return answer

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.ask("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def everything(self, path: str) -> list[dict[str, Any]]:
        """All pages of a list."""
        items: list[dict[str, Any]] = []
        token = ""
        while True:
            page = await self.get(path, size=1000, **({"token": token} if token else {}))
            items += page["items"]
            if not (token := page["next"]):
                return items

    async def session(self, *, partitions: Sequence[str] = (), **options: Any) -> UUID:
        """`partitions`: none named: `default`."""
        asked = {"options": options} | ({"partitions": list(partitions)} if partitions else {})
        answer = await self.ask("POST", "/compute/v1/sessions", json=asked)
        assert answer.status_code == 201, answer.text
        return msgspec.json.decode(answer.content, type=Session).id

    async def submit(self, session: UUID, lines: bytes, key: str = "") -> Submission:
        headers = {"Content-Type": "application/x-ndjson"} | ({"Idempotency-Key": key} if key else {})
        path = f"/compute/v1/sessions/{session}/submissions"
        answer = await self.http.post(path, content=lines, headers=headers)
        assert answer.status_code == 201, answer.text
        return msgspec.json.decode(answer.content, type=Submission)

    async def close(self, session: UUID) -> None:
        answer = await self.ask("POST", f"/compute/v1/sessions/{session}/close")
        assert answer.status_code == 200, answer.text


class Told:
    """What an event stream has told of a session. A frame that is told again word for word is noted in `again`."""

    def __init__(self) -> None:
        self.ids: Counter[str] = Counter()
        self.frames: Counter[bytes] = Counter()
        self.completed: Counter[UUID] = Counter()
        self.results: Counter[UUID] = Counter()
        self.failed: Counter[UUID] = Counter()
        self.retried: Counter[UUID] = Counter()
        self.closed = False
        self.place = ""

    def take(self, block: bytes) -> None:
        fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line and line[:1] != b":")
        self.place = fields.get(b"id", self.place.encode()).decode()
        if b"data" not in fields:
            return
        self.ids[self.place] += 1
        if fields[b"event"] == b"session.closed":
            self.closed = True
        if fields[b"event"] != b"task.changed":
            return
        data = fields[b"data"]
        self.frames[data] += 1
        if self.frames[data] == 1:
            frame = _frame(data)
            for name in ("completed", "results", "failed", "retried"):
                getattr(self, name).update(getattr(frame, name))

    @property
    def again(self) -> dict[bytes, int]:
        """Frames told more than once, and how often. A task starts anew, in the same words, when an attempt was lost."""
        return {data: n for data, n in self.frames.items() if n > 1 and n > 1 + self._lost(_frame(data).started)}

    def _lost(self, tasks: list[UUID]) -> int:
        return min((self.retried[task] for task in tasks), default=0)


class Watch:
    """Reads the events of a session in the background from its start on, again and again until the block ends."""

    def __init__(self, edge: Edge, session: UUID) -> None:
        self.told = Told()
        self._edge, self._query = edge, {"session": str(session), "from": "start"}
        self._reading: asyncio.Task[None] | None = None
        self.connections = 0

    async def __aenter__(self) -> Self:
        self._reading = asyncio.create_task(self._read())
        await wait_until(lambda: self.connections)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._reading is not None
        self._reading.cancel()
        await asyncio.wait([self._reading])

    async def _read(self) -> None:
        while not self.told.closed:
            try:
                async for block in self._blocks():
                    self.told.take(block)
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)  # as a browser would

    async def _blocks(self) -> AsyncIterator[bytes]:
        headers = {"Last-Event-ID": self.told.place} if self.told.place else {}
        # Beats come every 15 s: a connection that is silent for longer is dead.
        timeout = httpx.Timeout(10, read=20)
        async with self._edge.http.stream(
            "GET", "/events", params=self._query, headers=headers, timeout=timeout
        ) as answer:
            if answer.status_code != 200:
                return
            self.connections += 1
            rest = b""
            async for chunk in answer.aiter_raw():
                *blocks, rest = (rest + chunk).split(b"\n\n")
                for block in blocks:
                    yield block
