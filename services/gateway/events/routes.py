"""`GET /events`: what happens, as server-sent events, from now on or from where the client was."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar.types import ASGIApp

from services.gateway.events.feed import Event, Feed
from services.gateway.http.request import Call
from services.gateway.http.route import Route
from services.gateway.http.sse import BEAT, HEARTBEAT, MEDIA_TYPE, Place, frame, hello, parse_id
from services.gateway.http.streaming_response import Endless
from services.gateway.identity.auth import READ
from shared.contracts.compute import Session, SessionRef
from shared.contracts.errors import Forbidden, NotFound

_MOST_KNOWN = 10_000


class EventsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """`session`: only its events. `from=start`: all that the stream still has, instead of new ones only."""

    session: UUID | None = None
    from_: Literal["now", "start"] = "now"
    last_event_id: Annotated[str, msgspec.Meta(max_length=41)] = ""


Keep = Callable[[list[Event]], Awaitable[list[Event]]]


async def events(call: Call) -> ASGIApp:
    asked = call.asked(EventsQuery)
    last = call.header(b"last-event-id") or asked.last_event_id
    after = parse_id(last) if last else None
    keep: Keep | None = None
    subject = "hr.evt.>"
    if asked.session is not None:
        await call.scheduler("session.get", SessionRef(asked.session), Session, timeout=10)
        subject = f"hr.evt.*.*.{asked.session}"
    elif call.caller is not None and not call.caller.is_admin:
        keep = Visible(call).keep
    feed = Feed(call.edge.bus, subject, after, from_start=asked.from_ == "start")
    return Endless(call, MEDIA_TYPE, Happening(feed, await feed.open(), keep))


class Visible:
    """Which sessions' events the caller may see: asked once for each session, of the scheduler."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._known: dict[str, bool] = {}

    async def keep(self, taken: list[Event]) -> list[Event]:
        return [event for event in taken if await self._may(event.subject)]

    async def _may(self, subject: str) -> bool:
        noun, _, entity = subject.removeprefix("hr.evt.").split(".", 2)
        if noun in ("command", "chain"):
            return False  # not a session's: an operator's matter
        if entity not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[entity] = await (self._offer(entity) if noun == "offer" else self._ask(entity))
        return self._known[entity]

    async def _offer(self, entity: str) -> bool:
        assert self._call.caller is not None
        try:
            await self._call.edge.worksteps.offer(UUID(entity), self._call.caller.user)
        except (NotFound, ValueError):
            return False
        return True

    async def _ask(self, entity: str) -> bool:
        try:
            await self._call.scheduler("session.get", SessionRef(UUID(entity)), Session, timeout=10)
        except (NotFound, Forbidden, ValueError):
            return False
        return True


class Happening:
    """Events as text: everything that waits goes out in one write."""

    def __init__(self, feed: Feed, place: Place, keep: Keep | None) -> None:
        self._feed, self._place, self._keep = feed, place, keep
        self._held: list[Event] = []
        self.wake, self.close = feed.wake, feed.close

    def first(self) -> bytes:
        return hello(self._place)

    async def next(self) -> bytes:
        taken = self._held or await self._feed.take(HEARTBEAT)
        if not taken:
            return BEAT
        if self._keep is not None:
            self._held = taken  # until it is known which of them the caller may see
            taken, self._held = await self._keep(taken), []
        return b"".join([frame(e.incarnation, e.sequence, e.subject, e.data) for e in taken])


ROUTES = [
    Route(
        method="GET",
        path="/events",
        needs=READ,
        handler=events,
        summary="What happens, as server-sent events; Last-Event-ID resumes without loss.",
        query=EventsQuery,
        gives=MEDIA_TYPE,
    )
]
