"""`GET /compute/v1/sessions/{session}/watch`: what is, then what happens, as server-sent events."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar.types import ASGIApp

from services.gateway.events.event_filter import Wanted
from services.gateway.events.watch import Watch, parse_stand
from services.gateway.http.request import Call
from services.gateway.http.route import Route, without
from services.gateway.http.sse import BEAT, HEARTBEAT, MEDIA_TYPE, RETRY_MS, block, named
from services.gateway.http.streaming_response import Endless
from services.gateway.identity.auth import READ

_Ids = Annotated[list[UUID], msgspec.Meta(max_length=1000)]


class WatchQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`tasks`, `results`: ids with commas between them, to hear of these only. `events`: only these, such as `task.changed`."""

    session: UUID
    tasks: _Ids | None = None
    results: _Ids | None = None
    events: Annotated[list[str], msgspec.Meta(max_length=64)] | None = None
    last_event_id: Annotated[str, msgspec.Meta(max_length=128)] = ""


async def watch(call: Call) -> ASGIApp:
    asked = call.asked(WatchQuery)
    last = call.header(b"last-event-id") or asked.last_event_id
    after = parse_stand(last, "Last-Event-ID") if last else None
    wanted = Wanted(asked.tasks, asked.results, asked.events)
    watching = Watch(call.edge.bus, call.scheduler, asked.session, wanted, after)
    await watching.open()
    return Endless(call, MEDIA_TYPE, Watching(watching))


class Watching:
    """A watch as text. An id goes out only when all before it did."""

    def __init__(self, watch: Watch) -> None:
        self._watch, self._said = watch, watch.at
        self.wake, self.close = watch.wake, watch.close

    def first(self) -> bytes:
        return b": connected\n" + block(self._said, f"retry: {RETRY_MS}\n".encode())

    async def next(self) -> bytes:
        told = await self._watch.take(HEARTBEAT)
        at, before = self._watch.at, self._said
        self._said = at
        if told:
            text = b"".join([named(one.at, one.event, one.data) for one in told])
            return text if told[-1].at == at else text + block(at)
        return BEAT if at == before else block(at)


ROUTES = [
    Route(
        method="GET",
        path="/compute/v1/sessions/{session}/watch",
        needs=READ,
        handler=watch,
        summary="How a session stands, then what happens in it, as server-sent events; Last-Event-ID goes on without loss.",
        query=without(WatchQuery, "session"),
        gives=MEDIA_TYPE,
    )
]
