"""Answers that go on: their places are shared, and what was opened for one is closed."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from services.gateway.http import streaming_response as endless
from services.gateway.http.sse import BEAT
from services.gateway.http.streaming_response import Endless
from shared.contracts.errors import NotFound, RateLimited, TimedOut, Unavailable
from shared.runtime.admission import Admission
from tests.support.wait import wait_until


async def _never(_: str) -> None:
    await asyncio.Event().wait()


def call_of(user: str, streams: Admission, hung_up: asyncio.Event) -> Any:
    """As much of a call as a stream has to know."""
    edge = SimpleNamespace(streams=streams, stopping=asyncio.Event(), auth=SimpleNamespace(until_revoked=_never))
    return SimpleNamespace(edge=edge, user=user, header=lambda name: "", gone=hung_up.wait)


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
    streams = Admission("event streams", most=2, of_one=1)
    call, bob = call_of("ann", streams, hung_up), call_of("bob", streams, hung_up)

    async def send(message: Any) -> None:
        sent.append(message)

    async def begin(call: Any, source: Source) -> None:
        scope: Any = {}
        await Endless(call, "text/event-stream", source)(scope, hung_up.wait, send)  # type: ignore[arg-type]

    first, second, others = Source(), Source(), Source()
    running = [asyncio.create_task(begin(call, first)), asyncio.create_task(begin(bob, others))]
    await wait_until(lambda: sum(message["type"] == "http.response.start" for message in sent) == 2)
    with pytest.raises(RateLimited):
        await begin(call, second)
    assert second.closed
    assert sum(message["type"] == "http.response.start" for message in sent) == 2
    hung_up.set()
    await asyncio.gather(*running)
    assert first.closed
    assert not streams.running


async def test_a_stream_goes_on_when_a_server_that_was_away_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endless, "AGAIN", 0)
    hung_up, sent = asyncio.Event(), list[bytes]()
    call = call_of("ann", Admission("event streams", most=1, of_one=1), hung_up)

    class Away(Source):
        errors = (Unavailable(), TimedOut(), RateLimited())
        calls = 0

        async def next(self) -> bytes:
            self.calls += 1
            if self.calls <= len(self.errors):
                raise self.errors[self.calls - 1]
            hung_up.set()
            return await super().next()  # woken when the client has hung up

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    await Endless(call, "text/event-stream", Away())({}, hung_up.wait, send)  # type: ignore[arg-type]
    assert sent == [b"", b"first", BEAT, BEAT, BEAT, b"next", b""]


async def test_a_stream_ends_with_an_error_that_stays() -> None:
    hung_up = asyncio.Event()
    call = call_of("ann", Admission("event streams", most=1, of_one=1), hung_up)

    class Gone(Source):
        async def next(self) -> bytes:
            raise NotFound("the session is gone")

    async def send(message: Any) -> None: ...

    source = Gone()
    with pytest.raises(NotFound):
        await Endless(call, "text/event-stream", source)({}, hung_up.wait, send)  # type: ignore[arg-type]
    assert source.closed
