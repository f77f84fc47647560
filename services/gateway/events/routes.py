"""What happens, as server-sent events: all of it (`/events`), or a session's state and then its events (`…/watch`)."""

from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from services.gateway.events.event_filter import EventFilter
from services.gateway.events.feed import Feed
from services.gateway.events.place import parse_place, parse_watch_place
from services.gateway.events.session_watch import SessionWatch
from services.gateway.events.sources import FeedSource, WatchSource
from services.gateway.events.visible import VisibleEvents
from services.gateway.http.asgi import Response
from services.gateway.http.request import Request
from services.gateway.http.route import Route
from services.gateway.http.sse import MEDIA_TYPE
from services.gateway.http.streaming_response import StreamingResponse
from shared.contracts.compute import SessionGet
from shared.contracts.endpoints.compute import SESSION_GET
from shared.contracts.permissions import COMPUTE_READ

_Ids = Annotated[list[UUID], msgspec.Meta(max_length=1000)]


class EventsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """`session`: only its events. `from=start`: all that the stream still has, instead of new ones only."""

    session: UUID | None = None
    from_: Literal["now", "start"] = "now"
    last_event_id: Annotated[str, msgspec.Meta(max_length=41)] = ""
    """As the header Last-Event-ID, for clients that cannot send one."""


class WatchQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`tasks`, `results`: ids with commas between them, for the events of these only. `events`: only these, such as `task.changed`."""

    session: UUID
    tasks: _Ids | None = None
    results: _Ids | None = None
    events: Annotated[list[str], msgspec.Meta(max_length=64)] | None = None
    last_event_id: Annotated[str, msgspec.Meta(max_length=128)] = ""


async def events(request: Request, query: EventsQuery) -> Response:
    """The events that the caller may see, from now on or from where it was."""
    last = request.header(b"last-event-id") or query.last_event_id
    after = parse_place(last) if last else None
    visible: VisibleEvents | None = None
    subject = "hr.evt.>"
    if query.session is not None:
        await request.ask(SESSION_GET, SessionGet(query.session), timeout=10)
        subject = f"hr.evt.*.*.{query.session}"
    elif not request.context.is_admin:
        visible = VisibleEvents(request)
    feed = Feed(request.edge.bus, subject, after, from_start=query.from_ == "start")
    source = FeedSource(feed, await feed.open(), visible.keep if visible else None)
    return StreamingResponse(request, MEDIA_TYPE, source)


async def watch(request: Request, query: WatchQuery) -> Response:
    """The state of a session and then its events, or its events from where the caller was."""
    last = request.header(b"last-event-id") or query.last_event_id
    after = parse_watch_place(last, "Last-Event-ID") if last else None
    event_filter = EventFilter(query.tasks, query.results, query.events)
    watching = SessionWatch(request.edge.bus, request.ask, query.session, event_filter, after)
    await watching.open()
    return StreamingResponse(request, MEDIA_TYPE, WatchSource(watching))


ROUTES: Final = [
    Route(
        method="GET",
        path="/events",
        needs=COMPUTE_READ,
        action="event.watch",
        handler=events,
        summary="What happens, as server-sent events; Last-Event-ID resumes without loss.",
        message=EventsQuery,
        gives=MEDIA_TYPE,
    )
]

SESSION_ROUTES: Final = [
    Route(
        method="GET",
        path="/compute/v1/sessions/{session}/watch",
        needs=COMPUTE_READ,
        action="session.watch",
        handler=watch,
        summary="How a session stands, then what happens in it, as server-sent events; Last-Event-ID goes on without loss.",
        message=WatchQuery,
        gives=MEDIA_TYPE,
    )
]
