"""Events leave through a table: written in the transaction that they tell of, published after its commit.

`Relay.push` publishes what was just committed. What a kill left behind is found by the poll. Rows stay for `EVENT_WINDOW`
seconds after the bus has stored them: when the EVENTS stream was lost, all of them are published again, and the bus drops
repeats by their ids, for just as long.
"""

import asyncio
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

import asyncpg

from shared.bus.client import Bus
from shared.bus.publish import PubAck
from shared.contracts.topology import EVENT_WINDOW, EVENTS
from shared.db.sql import load
from shared.runtime.loop import Loop

Q = load(__file__, "outbox.sql")

UNDER_WAY = float("inf")
Row = tuple[int, str, bytes, str]
"""id, subject, body, traceparent"""


class Relay:
    """Publishes the outbox of one service's schema."""

    def __init__(self, bus: Bus, pool: "asyncpg.Pool[Any]", schema: str, *, poll_every: float = 2.0) -> None:
        self._bus, self._pool, self._schema = bus, pool, schema
        self._sent: dict[int, float] = {}  # id → when it was acknowledged; UNDER_WAY until then
        self._behind = 0  # every row up to this id was acknowledged to us
        self._loop = Loop("outbox", poll_every, self.run_once)
        bus.on_connected(self._on_connected)

    async def run(self) -> None:
        await self._loop.run()

    async def push(self, rows: Iterable[Row]) -> None:
        """Publishes rows whose transaction has committed, in order."""
        for number, subject, body, trace in rows:
            if number in self._sent:
                continue
            headers = {"Nats-Msg-Id": f"{self._schema}:{number}"}
            if trace:
                headers["traceparent"] = trace
            self._sent[number] = UNDER_WAY
            try:
                future = await self._bus.send(subject, body, headers)
            except BaseException:
                del self._sent[number]
                raise
            future.add_done_callback(partial(self._on_stored, number))

    def _on_stored(self, number: int, done: "asyncio.Future[PubAck]") -> None:
        if done.cancelled() or done.exception() is not None:
            self._sent.pop(number, None)  # the poll takes it up again
        else:
            self._sent[number] = time.monotonic()

    async def run_once(self) -> int:
        """Publishes what was left behind, forgets what is old. Returns how many it published."""
        numbers = [row["id"] for row in await self._pool.fetch(Q["behind"], self._behind)]
        late = [number for number in numbers if number not in self._sent]
        if late:
            await self.push([tuple(row) for row in await self._pool.fetch(Q["rows"], late)])
        stored = [number for number, at in self._sent.items() if at != UNDER_WAY]
        if numbers:
            pending = [number for number in numbers if self._sent.get(number, UNDER_WAY) == UNDER_WAY]
            self._behind = min(pending) - 1 if pending else numbers[-1]
        before = time.monotonic() - EVENT_WINDOW
        old = [n for n in stored if self._sent[n] < before]
        if old:
            await self._pool.execute(Q["forget"], old)
            for number in old:
                del self._sent[number]
        return len(late)

    async def _on_connected(self, lost: frozenset[str]) -> None:
        """What the bus has confirmed may be gone with an unflushed tail: all of it again; the bus knows the ids it kept.

        Not what is about to leave its window: the bus would take it for new.
        """
        leaving = 0.0 if EVENTS.name in lost else time.monotonic() - 0.9 * EVENT_WINDOW
        kept = {number: at for number, at in self._sent.items() if at == UNDER_WAY or at < leaving}
        self._sent, self._behind = kept, 0
        self._loop.wake()
