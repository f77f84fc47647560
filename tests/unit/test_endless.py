"""Answers that go on: their places are shared, and what was opened for one is closed."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from services.gateway.endless import Endless
from shared.contracts.errors import RateLimited
from shared.runtime.share import Share


class Source:
    def __init__(self) -> None:
        self.closed = False
        self._woken = asyncio.Event()

    def first(self) -> bytes:
        return b"first"

    async def next(self) -> bytes:
        await self._woken.wait()
        return b"next"

    def wake(self) -> None:
        self._woken.set()

    async def close(self) -> None:
        self.closed = True


async def test_a_stream_without_a_place_is_refused_before_it_begins_and_closed() -> None:
    hung_up, sent = asyncio.Event(), list[Any]()
    edge = SimpleNamespace(streams=Share("event streams", most=2, of_one=1), stopping=asyncio.Event())
    call: Any = SimpleNamespace(edge=edge, caller=SimpleNamespace(user="ann"), gone=hung_up.wait)
    bob: Any = SimpleNamespace(edge=edge, caller=SimpleNamespace(user="bob"), gone=hung_up.wait)

    async def send(message: Any) -> None:
        sent.append(message)

    async def begin(call: Any, source: Source) -> None:
        scope: Any = {}
        await Endless(call, "text/event-stream", source)(scope, hung_up.wait, send)  # type: ignore[arg-type]

    first, second, others = Source(), Source(), Source()
    running = [asyncio.create_task(begin(call, first)), asyncio.create_task(begin(bob, others))]
    while sum(message["type"] == "http.response.start" for message in sent) < 2:
        await asyncio.sleep(0)
    with pytest.raises(RateLimited):
        await begin(call, second)
    assert second.closed
    assert sum(message["type"] == "http.response.start" for message in sent) == 2
    hung_up.set()
    await asyncio.gather(*running)
    assert first.closed
    assert not edge.streams._running
