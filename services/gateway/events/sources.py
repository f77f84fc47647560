"""Events as the text of server-sent events: what a streaming response sends. Source: HTML Living Standard, section 9.2."""

from collections.abc import Awaitable, Callable

from services.gateway.events.feed import Event, Feed
from services.gateway.events.place import Place
from services.gateway.events.session_watch import SessionWatch
from services.gateway.http import sse
from services.gateway.http.sse import HEARTBEAT, HEARTBEAT_SECONDS

Keep = Callable[[list[Event]], Awaitable[list[Event]]]
"""Those of the events that the caller may see."""


def event_text(event: Event) -> bytes:
    """One event; its id is its place in the stream, its body is passed on as it is."""
    return sse.event(f"{event.incarnation}-{event.sequence}", event.name, event.data)


class FeedSource:
    """The events of a feed: everything that waits goes out in one write."""

    def __init__(self, feed: Feed, place: Place, keep: Keep | None) -> None:
        self._feed, self._place, self._keep = feed, place, keep
        self._held: list[Event] = []
        self.wake, self.close = feed.wake, feed.close

    def first(self) -> bytes:
        return sse.hello(str(self._place))

    async def next(self) -> bytes:
        taken = self._held or await self._feed.take(HEARTBEAT_SECONDS)
        if not taken:
            return HEARTBEAT
        if self._keep is not None:
            self._held = taken  # until it is known which of them the caller may see
            taken, self._held = await self._keep(taken), []
        return b"".join([event_text(event) for event in taken])


class WatchSource:
    """The events of a watch. An id goes out only when all before it did."""

    def __init__(self, watch: SessionWatch) -> None:
        self._watch, self._sent = watch, watch.at
        self.wake, self.close = watch.wake, watch.close

    def first(self) -> bytes:
        return sse.hello(self._sent)

    async def next(self) -> bytes:
        taken = await self._watch.take(HEARTBEAT_SECONDS)
        at, before = self._watch.at, self._sent
        self._sent = at
        if taken:
            text = b"".join([sse.event(one.at, one.event, one.data) for one in taken])
            return text if taken[-1].at == at else text + sse.block(at)
        return HEARTBEAT if at == before else sse.block(at)
