"""A watch while a server is away: who asks again misses nothing, neither the beginning nor what was taken already."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from services.gateway.events import session_watch
from services.gateway.events.event_filter import EventFilter
from services.gateway.events.feed import Event, StreamExtent
from services.gateway.events.place import Place
from services.gateway.events.session_watch import BEGIN, END, STATES, SessionWatch
from services.gateway.events.sources import FeedSource
from shared.contracts.compute import Options, Session, States
from shared.contracts.endpoint import Endpoint
from shared.contracts.endpoints.compute import SESSION_GET
from shared.contracts.errors import Unavailable

SESSION = uuid4()
EVENTS = [Event(1, n, f"hr.evt.task.changed.{SESSION}", b"{}") for n in (8, 9)]


class Feed:
    """One that has two events, and cannot say at every call whether something is missing."""

    def __init__(self, *_: Any) -> None:
        self.events, self.joined = list(EVENTS), [True, Unavailable(), True, True, True]

    async def open(self) -> Place:
        return Place(1, 7)

    async def close(self) -> None: ...

    def wake(self) -> None: ...

    async def joins(self) -> bool:
        answer = self.joined.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    async def take(self, seconds: float) -> list[Event]:
        taken, self.events = self.events, []
        return taken


class Scheduler:
    """Away at the calls whose numbers are in `away`."""

    def __init__(self, *away: int) -> None:
        self.calls, self.away = 0, away

    async def __call__(self, endpoint: Endpoint[Any, Any], request: Any) -> Any:
        self.calls += 1
        if self.calls in self.away:
            raise Unavailable("the database is away")
        if endpoint is SESSION_GET:
            return Session(
                SESSION, "", "running", "ann", ["default"], Options(), True, True, "", None, None, None, None, 1
            )
        if request.token:
            return States(SESSION, {"completed": [UUID(int=2)]}, {})
        return States(SESSION, {"pending": [UUID(int=1)]}, {}, "t1")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    async def extent(bus: Any) -> StreamExtent:
        return StreamExtent(1, 1, 7)

    monkeypatch.setattr(session_watch, "stream_extent", extent)
    monkeypatch.setattr(session_watch, "Feed", Feed)
    monkeypatch.setattr(session_watch, "TRIES", 1)


@pytest.mark.parametrize("away", [(1,), (2,), (3,), (1, 3, 6)])
async def test_a_snapshot_that_was_broken_off_is_given_whole(away: tuple[int, ...]) -> None:
    watching = SessionWatch(None, Scheduler(*away), SESSION, EventFilter(), None)  # type: ignore[arg-type]
    received, refused = list[str](), 0
    while END not in received:
        try:
            received += [one.event for one in await watching.take(0)]
        except Unavailable:
            refused += 1
    assert received == [BEGIN, STATES, STATES, END]
    assert refused == len(away)


async def test_what_was_taken_while_nobody_knew_what_is_missing_is_told_later() -> None:
    watching = SessionWatch(None, Scheduler(), SESSION, EventFilter(), None)  # type: ignore[arg-type]
    while not watching.is_following:
        await watching.take(0)
    with pytest.raises(Unavailable):
        await watching.take(0)
    assert [one.at for one in await watching.take(0)] == ["1-8", "1-9"]


async def test_events_that_nobody_can_say_whether_to_show_are_shown_later() -> None:
    answers: list[Any] = [Unavailable(), EVENTS]

    async def keep(taken: list[Event]) -> list[Event]:
        assert taken == EVENTS
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return list(answer)

    happening = FeedSource(Feed(), Place(1, 7), keep)  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        await happening.next()
    assert (await happening.next()).count(b"event: task.changed") == 2
