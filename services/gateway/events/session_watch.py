"""Watching one session: its state, then what happens in it, with nothing missed in between.

A place in the event stream is taken first, then the states are read, page by page, then come the events after that place. What
changed meanwhile comes twice, never not at all. Nothing of this is kept here: a text (`place.py`) says how far a reader is, and
with it any gateway goes on. When what followed the reader's place is gone (the stream was lost, or has dropped it), a new
snapshot begins.
"""

from collections.abc import Awaitable
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

import msgspec

from services.gateway.events.event_filter import EventFilter
from services.gateway.events.feed import Event, Feed, stream_extent
from services.gateway.events.place import Place, WatchPlace
from shared.bus.client import Bus
from shared.contracts.compute import SessionGet, StatesQuery
from shared.contracts.endpoint import Query
from shared.contracts.endpoints.compute import SESSION_GET, SESSION_STATES
from shared.contracts.errors import RateLimited, TimedOut, Unavailable
from shared.runtime.retry import Backoff, retry

Message = TypeVar("Message")
Answer = TypeVar("Answer")


class Ask(Protocol):
    """Asks the scheduler as the reader."""

    def __call__(self, endpoint: Query[Message, Answer], message: Message) -> Awaitable[Answer]: ...


BEGIN: Final = "snapshot.begin"
"""The first event of a snapshot. Its data is the session; a reader that has a state already drops it."""
STATES: Final = "snapshot.states"
END: Final = "snapshot.end"
SNAPSHOT: Final = frozenset({BEGIN, STATES, END})

_RETRY: Final = Backoff(first=0.2, ceiling=2)
TRIES: Final = 8
"""Times that the scheduler is asked before a watch fails."""
_PASSING: Final = (Unavailable, TimedOut, RateLimited)


class WatchedEvent(msgspec.Struct, frozen=True):
    """One event for the reader. `at`: how far the reader is who has taken it; empty: as far as before."""

    at: str
    event: str
    data: bytes


class SessionWatch:
    """`open`, then `take` until `close`."""

    def __init__(self, bus: Bus, ask: Ask, session: UUID, event_filter: EventFilter, after: WatchPlace | None) -> None:
        self._bus, self._ask, self._session, self._filter = bus, ask, session, event_filter
        self._after, self._feed = after, Feed(bus, f"hr.evt.*.*.{session}")
        self.is_following = False
        """Whether the snapshot is over, and events follow."""
        self._held: list[Event] = []

    @property
    def at(self) -> str:
        """How far the reader is who has taken everything; empty before the first page of a snapshot."""
        return "" if self._after is None else str(self._after)

    async def open(self) -> None:
        """NotFound if the reader may not see the session."""
        await self._ask(SESSION_GET, SessionGet(self._session))
        if self._after is None:
            return
        if not self._after.token:
            await self._follow(self._after.place)
        elif not (await stream_extent(self._bus)).follows(self._after.place):
            self._after = None

    async def close(self) -> None:
        """Ends the feed of events, if there is one."""
        if self.is_following:
            self.is_following = False
            await self._feed.close()

    def wake(self) -> None:
        """Makes `take` return, perhaps with nothing."""
        self._feed.wake()

    async def take(self, seconds: float) -> list[WatchedEvent]:
        """What comes next; an empty list after `seconds` without anything, or when nothing of it passes the filter."""
        if not self.is_following:
            return await self._snapshot()
        if not self._held and await self._feed.joins():
            self._held = await self._feed.take(seconds)
        if not await self._feed.joins():  # it raises while nobody knows: what is held stays for the next call
            await self.close()
            self._held, self._after = [], None
            return await self._snapshot()
        taken, self._held = self._held, []
        passing = []
        for event in taken:
            self._after = WatchPlace(Place(event.incarnation, event.sequence))
            data = self._filter.apply(event.subject, event.data)
            if data is not None:
                passing.append(WatchedEvent(str(self._after), event.name, data))
        return passing

    async def _snapshot(self) -> list[WatchedEvent]:
        """The next page of it. Only its last event leads to the events: who has lost that one reads the page again."""
        before = self._after
        try:
            return await self._page()
        except BaseException:
            self._after = before  # who asks again is given the same, its beginning too
            raise

    async def _page(self) -> list[WatchedEvent]:
        events: list[WatchedEvent] = []
        if self._after is None:
            now = await stream_extent(self._bus)  # before anything is read
            session = await self._patiently(SESSION_GET, SessionGet(self._session))
            events.append(WatchedEvent("", BEGIN, msgspec.json.encode(session)))
            self._after = WatchPlace(Place(now.created, now.last))
        place = self._after.place
        query = StatesQuery(self._session, self._after.token, self._filter.tasks, self._filter.results)
        page = await self._patiently(SESSION_STATES, query)
        self._after = WatchPlace(place, page.next)
        body = msgspec.json.encode(msgspec.structs.replace(page, next=""))
        if page.next:
            return [*events, WatchedEvent(str(self._after), STATES, body)]
        await self._follow(place)
        end = msgspec.json.encode({"session": self._session})
        return [*events, WatchedEvent("", STATES, body), WatchedEvent(str(self._after), END, end)]

    async def _follow(self, place: Place) -> None:
        self._feed = Feed(self._bus, f"hr.evt.*.*.{self._session}", place)
        opened = await self._feed.open()
        self.is_following = True
        self._after = WatchPlace(opened)

    async def _patiently(self, endpoint: Query[Any, Answer], message: Any) -> Answer:
        """Reading may be repeated: a scheduler that is being replaced does not end the watch."""
        found: Answer = await retry(lambda: self._ask(endpoint, message), on=_PASSING, backoff=_RETRY, attempts=TRIES)
        return found
