"""Answers that go on: their places are shared, and what was opened for one is closed."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from services.gateway.http import streaming_response
from services.gateway.http.sse import HEARTBEAT
from services.gateway.http.streaming_response import StreamingResponse
from shared.contracts.errors import NotFound, RateLimited, TimedOut, Unavailable
from shared.runtime.admission import Admission
from tests.support.wait import wait_until


async def _never(_: str) -> None:
    await asyncio.Event().wait()


def request_of(user: str, streams: Admission, hung_up: asyncio.Event) -> Any:
    """As much of a request as a stream has to know."""
    edge = SimpleNamespace(streams=streams, stopping=asyncio.Event(), auth=SimpleNamespace(until_revoked=_never))
    context = SimpleNamespace(user=user)
    return SimpleNamespace(edge=edge, context=context, header=lambda name: "", disconnected=hung_up.wait)


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
    request, bob = request_of("ann", streams, hung_up), request_of("bob", streams, hung_up)

    async def send(message: Any) -> None:
        sent.append(message)

    async def begin(request: Any, source: Source) -> None:
        scope: Any = {}
        await StreamingResponse(request, "text/event-stream", source)(scope, hung_up.wait, send)  # type: ignore[arg-type]

    first, second, others = Source(), Source(), Source()
    running = [asyncio.create_task(begin(request, first)), asyncio.create_task(begin(bob, others))]
    await wait_until(lambda: sum(message["type"] == "http.response.start" for message in sent) == 2)
    with pytest.raises(RateLimited):
        await begin(request, second)
    assert second.closed
    assert sum(message["type"] == "http.response.start" for message in sent) == 2
    hung_up.set()
    await asyncio.gather(*running)
    assert first.closed
    assert not streams.running


async def test_a_stream_goes_on_when_a_server_that_was_away_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming_response, "RETRY_SECONDS", 0)
    hung_up, sent = asyncio.Event(), list[bytes]()
    request = request_of("ann", Admission("event streams", most=1, of_one=1), hung_up)

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

    await StreamingResponse(request, "text/event-stream", Away())({}, hung_up.wait, send)  # type: ignore[arg-type]
    assert sent == [b"", b"first", HEARTBEAT, HEARTBEAT, HEARTBEAT, b"next", b""]


async def test_a_stream_ends_with_an_error_that_stays() -> None:
    hung_up = asyncio.Event()
    request = request_of("ann", Admission("event streams", most=1, of_one=1), hung_up)

    class Gone(Source):
        async def next(self) -> bytes:
            raise NotFound("the session is gone")

    async def send(message: Any) -> None: ...

    source = Gone()
    with pytest.raises(NotFound):
        await StreamingResponse(request, "text/event-stream", source)({}, hung_up.wait, send)  # type: ignore[arg-type]
    assert source.closed
