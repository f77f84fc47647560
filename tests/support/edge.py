"""A user of the HTTP edge who outlives faults, and what an event stream has told him."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx
import msgspec

from shared.client import Address, Headrace, Patience
from shared.client.errors import ClientError
from shared.client.events import Event
from shared.client.paging import plain_items
from shared.contracts.compute import Options, Submission
from shared.contracts.events import Frame
from tests.support.wait import wait_until

_frame = msgspec.json.Decoder(Frame).decode
AWAY = frozenset({502, 503, 504})
"""Nothing else may come of an outage: a 500 is a fault of Headrace."""


class Edge(Headrace):
    """One user at one gateway. Outages are waited for; whatever else comes is the reply."""

    def __init__(self, http: str, token: str) -> None:
        super().__init__(Address(http, token), patience=Patience(30, at_start=True, statuses=AWAY))
        self.plain = httpx.AsyncClient(
            base_url=http, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        )
        """For requests that no client would send."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.plain.aclose()
        await super().__aexit__(kind, error, trace)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | None = None,
        params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """A reply that is not about an outage."""
        reply = await self.http.exchange(
            method, path, body=json, content=content, query=params, headers=headers, timeout=60
        )
        assert reply.status_code not in AWAY, reply.text
        return reply

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.ask("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def everything(self, path: str) -> list[dict[str, Any]]:
        """All pages of a list."""
        return [one async for one in plain_items(self.http, path)]

    async def session(self, *, partitions: Sequence[str] = (), **options: Any) -> UUID:
        """`partitions`: none named: `default`."""
        return (await self.sessions.create(partitions=partitions, options=Options(**options))).id

    async def submit(self, session: UUID, lines: bytes, key: str = "") -> Submission:
        return await self.tasks.submit(session, lines, key=key)

    async def close_session(self, session: UUID) -> None:
        await self.sessions.close(session)


class Received:
    """What an event stream has told of a session. A frame that is told again word for word is noted in `again`."""

    def __init__(self) -> None:
        self.ids: Counter[str] = Counter()
        self.frames: Counter[str] = Counter()
        self.completed: Counter[UUID] = Counter()
        self.results: Counter[UUID] = Counter()
        self.failed: Counter[UUID] = Counter()
        self.retried: Counter[UUID] = Counter()
        self.closed = False
        self.place = ""

    def take(self, event: Event) -> None:
        self.place = event.id or self.place
        if not event.data:
            return
        self.ids[self.place] += 1
        if event.name == "session.closed":
            self.closed = True
        if event.name != "task.changed":
            return
        self.frames[event.data] += 1
        if self.frames[event.data] == 1:
            frame = _frame(event.data)
            for name in ("completed", "results", "failed", "retried"):
                getattr(self, name).update(getattr(frame, name))

    @property
    def again(self) -> dict[str, int]:
        """Frames told more than once, and how often. A task starts anew, in the same words, when an attempt was lost."""
        return {data: n for data, n in self.frames.items() if n > 1 and n > 1 + self._lost(_frame(data).started)}

    def _lost(self, tasks: list[UUID]) -> int:
        return min((self.retried[task] for task in tasks), default=0)


class Watch:
    """Reads the events of a session in the background from its start on, again and again until the block ends."""

    def __init__(self, edge: Edge, session: UUID) -> None:
        self.received = Received()
        self._edge, self._session = edge, session
        self._reading: asyncio.Task[None] | None = None
        self._connected = False

    async def __aenter__(self) -> Self:
        self._reading = asyncio.create_task(self._read())
        await wait_until(lambda: self._connected)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._reading is not None
        self._reading.cancel()
        await asyncio.wait([self._reading])

    async def _read(self) -> None:
        while not self.received.closed:
            try:
                events = self._edge.events(session=self._session, from_start=True, after=self.received.place)
                async for event in events:
                    self._connected = True
                    self.received.take(event)
            except ClientError:
                await asyncio.sleep(0.1)  # nobody is there yet, or for long
