"""Watching one session: what is, then what happens, with nothing missed in between.

A place P in the event stream is taken first, then the states are read, page by page, then come the events after P. What
changed meanwhile is told twice, never not at all. Nothing of this is kept here: a text says how far a reader is, and with it
any gateway goes on.

    <incarnation>-<sequence>            everything up to there is known
    <incarnation>-<sequence>~<token>    so much of the snapshot is known that began there

When what followed the reader's place is gone (the stream was lost, or has dropped it), a new snapshot begins.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec

from services.gateway.events.event_filter import Wanted
from services.gateway.events.feed import Event, Feed, standing
from services.gateway.http.sse import Place
from shared.bus.client import Bus
from shared.contracts.compute import Session, SessionRef, States, StatesQuery
from shared.contracts.errors import Invalid, RateLimited, TimedOut, Unavailable
from shared.runtime.retry import Backoff, retry

T = TypeVar("T")
Ask = Callable[[str, Any, type[T]], Awaitable[T]]
"""Asks the scheduler as the reader: `await ask("session.get", SessionRef(…), Session)`."""

BEGIN: Final = "snapshot.begin"
"""Its data is the session; who has a picture already begins it anew."""
STATES: Final = "snapshot.states"
END: Final = "snapshot.end"
SNAPSHOT: Final = frozenset({BEGIN, STATES, END})

_STAND = re.compile(r"(\d{1,20})-(\d{1,20})(?:~([a-z0-9-]{1,40}))?")
_AGAIN: Final = Backoff(first=0.2, ceiling=2)
_TRIES: Final = 8
_PASSING: Final = (Unavailable, TimedOut, RateLimited)


class Stand(msgspec.Struct, frozen=True):
    """How far a reader is. `token`: where its snapshot goes on; empty: it has the whole."""

    place: Place
    token: str = ""

    def __str__(self) -> str:
        return f"{self.place.incarnation}-{self.place.sequence}" + (f"~{self.token}" if self.token else "")


def parse_stand(text: str, field: str) -> Stand:
    found = _STAND.fullmatch(text)
    if found is None:
        raise Invalid("not a place that a watch gave", field=field)
    return Stand(Place(int(found[1]), int(found[2])), found[3] or "")


class Told(msgspec.Struct, frozen=True):
    """`at`: how far the reader is who has taken this; empty: as far as before."""

    at: str
    event: str
    data: bytes


class Watch:
    """`open`, then `take` until `close`."""

    def __init__(self, bus: Bus, ask: Any, session: UUID, wanted: Wanted, after: Stand | None) -> None:
        self._bus, self._ask, self._session, self._wanted = bus, ask, session, wanted
        self._after, self._feed = after, Feed(bus, f"hr.evt.*.*.{session}")
        self._open = False
        self._held: list[Event] = []

    @property
    def at(self) -> str:
        """How far the reader is who has taken everything; empty before the first page of a snapshot."""
        return "" if self._after is None else str(self._after)

    async def open(self) -> None:
        """NotFound if the reader may not see the session."""
        await self._ask("session.get", SessionRef(self._session), Session)
        if self._after is None:
            return
        if not self._after.token:
            await self._follow(self._after.place)
        elif not (await standing(self._bus)).follows(self._after.place):
            self._after = None

    async def close(self) -> None:
        if self._open:
            self._open = False
            await self._feed.close()

    def wake(self) -> None:
        """Makes `take` return, perhaps with nothing."""
        self._feed.wake()

    async def take(self, patience: float) -> list[Told]:
        """What comes next; an empty list after `patience` seconds without anything, or when nothing of it is wanted."""
        if not self._open:
            return await self._snapshot()
        if not self._held and await self._feed.joins():
            self._held = await self._feed.take(patience)
        if not await self._feed.joins():  # it raises while nobody knows: what is held stays for the next call
            await self.close()
            self._held, self._after = [], None
            return await self._snapshot()
        taken, self._held = self._held, []
        told = []
        for event in taken:
            place = Place(event.incarnation, event.sequence)
            self._after = Stand(place)
            kept = self._wanted.keep(event.subject, event.data)
            if kept is not None:
                told.append(Told(str(self._after), _name(event), kept))
        return told

    async def _snapshot(self) -> list[Told]:
        """The next page of it. Only its last event leads to the events: who has lost that one reads the page again."""
        before = self._after
        told: list[Told] = []
        try:
            return await self._page(told)
        except BaseException:
            self._after = before  # who asks again is given the same, its beginning too
            raise

    async def _page(self, told: list[Told]) -> list[Told]:
        if self._after is None:
            now = await standing(self._bus)  # before anything is read
            session = await self._patiently("session.get", SessionRef(self._session), Session)
            told.append(Told("", BEGIN, msgspec.json.encode(session)))
            self._after = Stand(Place(now.created, now.last))
        place = self._after.place
        query = StatesQuery(self._session, self._after.token, self._wanted.tasks, self._wanted.results)
        page = await self._patiently("session.states", query, States)
        self._after = Stand(place, page.next)
        body = msgspec.json.encode(msgspec.structs.replace(page, next=""))
        if page.next:
            return [*told, Told(str(self._after), STATES, body)]
        await self._follow(place)
        end = msgspec.json.encode({"session": self._session})
        return [*told, Told("", STATES, body), Told(str(self._after), END, end)]

    async def _follow(self, place: Place) -> None:
        self._feed = Feed(self._bus, f"hr.evt.*.*.{self._session}", place)
        opened = await self._feed.open()
        self._open = True
        self._after = Stand(opened)

    async def _patiently(self, action: str, request: Any, reply: type[T]) -> T:
        """Reading may be repeated: a scheduler that is being replaced does not end the watch."""
        found: T = await retry(lambda: self._ask(action, request, reply), on=_PASSING, backoff=_AGAIN, attempts=_TRIES)
        return found


def _name(event: Event) -> str:
    _, _, noun, name, _ = event.subject.split(".", 4)
    return f"{noun}.{name}"
