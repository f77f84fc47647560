"""The outbox: events are written in the transaction that they are about, and published after its commit.

`Relay.push` publishes what was just committed. What a kill left behind is found by the poll. Rows stay for `EVENT_WINDOW`
seconds after the bus has stored them: when the EVENTS stream was lost, all of them are published again, and the bus drops
repeats by their ids, for just as long.

Ids are given out before the commit, so a lower one may be seen after a higher one. The poll therefore passes a row only when
every transaction that was open while that row was the newest has ended (`Horizon`). Whoever adds a row has written before in
the same transaction: a transaction that has taken an id is among those that the snapshot knows as open.
"""

import asyncio
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

import asyncpg
import msgspec

from shared.bus.client import Bus
from shared.bus.publish import PubAck
from shared.contracts.topology import EVENT_WINDOW, EVENTS
from shared.db.sql import load
from shared.runtime.loop import Loop

Q = load(__file__, "outbox.sql")

UNDER_WAY = float("inf")
PAGE = 5000
"""Ids that the poll reads at a time."""
Row = tuple[int, str, bytes, str]
"""id, subject, body, traceparent"""


class Horizon(msgspec.Struct, frozen=True):
    """How far the outbox could be seen, and which transactions might still add rows below that (see outbox.sql)."""

    oldest: int
    next: int
    newest: int


def watermark(seen: Horizon, now: Horizon, unfinished: int | None) -> int | None:
    """The id up to which the outbox need not be read again; None: not known yet.

    `seen`: an earlier horizon, `now`: that of before the rows were read; `unfinished`: the lowest id read that the bus has not
    stored.
    """
    if now.oldest < seen.next:  # who was at work then may still commit an id below `seen.newest`
        return None
    return seen.newest if unfinished is None else min(seen.newest, unfinished - 1)


class Relay:
    """Publishes the outbox of one service's schema."""

    def __init__(self, bus: Bus, pool: "asyncpg.Pool[Any]", schema: str, *, poll_every: float = 2.0) -> None:
        self._bus, self._pool, self._schema = bus, pool, schema
        self._sent: dict[int, float] = {}  # id → when it was acknowledged; UNDER_WAY until then
        self.published_up_to = 0
        """Every row up to this id is published and acknowledged, and none will be added there."""
        self._seen: Horizon | None = None  # the horizon that `published_up_to` goes to next
        self._loop = Loop("outbox", poll_every, self.run_once)
        bus.on_connected(self._on_connected)

    async def run(self) -> None:
        """Polls until it is cancelled."""
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
        seen, now = self._seen, await self._horizon()
        published, unfinished = await self._publish_overdue()
        reached = None if seen is None else watermark(seen, now, unfinished)
        if self._seen is seen and (seen is None or reached is not None):  # no reconnect has begun anew meanwhile
            self.published_up_to = max(self.published_up_to, reached or 0)
            self._seen = now
        await self._forget_old()
        return published

    async def _horizon(self) -> Horizon:
        row = await Q.horizon.fetchrow(self._pool)
        assert row is not None
        return Horizon(row["oldest"], row["next"], row["newest"])

    async def _publish_overdue(self) -> tuple[int, int | None]:
        """Publishes what is due after the watermark: how many, and the lowest id that the bus has not stored."""
        published, unfinished, after = 0, None, self.published_up_to
        while rows := await Q.behind.fetch(self._pool, after=after, most=PAGE):
            overdue = [row["id"] for row in rows if row["due"] and row["id"] not in self._sent]
            if overdue:
                await self.push([tuple(row) for row in await Q.rows.fetch(self._pool, ids=overdue)])
                published += len(overdue)
            if unfinished is None:
                open_ids = (row["id"] for row in rows if self._sent.get(row["id"], UNDER_WAY) == UNDER_WAY)
                unfinished = next(open_ids, None)
            if len(rows) < PAGE:
                break
            after = rows[-1]["id"]
        return published, unfinished

    async def _forget_old(self) -> None:
        before = time.monotonic() - EVENT_WINDOW
        old = [number for number, at in self._sent.items() if at != UNDER_WAY and at < before]
        if old:
            await Q.forget.execute(self._pool, ids=old)
            for number in old:
                self._sent.pop(number, None)

    async def _on_connected(self, lost: frozenset[str]) -> None:
        """What the bus has confirmed may be gone with an unflushed tail: all of it again; the bus knows the ids it kept.

        Not what is about to leave its window: the bus would take it for new.
        """
        leaving = 0.0 if EVENTS.name in lost else time.monotonic() - 0.9 * EVENT_WINDOW
        kept = {number: at for number, at in self._sent.items() if at == UNDER_WAY or at < leaving}
        self._sent, self.published_up_to, self._seen = kept, 0, None
        self._loop.wake()
