"""Watching over NATS: each request gets what came after the place that it names, as soon as there is something.

Nothing is kept between two requests, so that any gateway answers any of them, and who asks slowly costs nothing meanwhile.
Who asks is the subject's user token, which the bus binds to the asker (deploy/nats/permissions.py).
"""

import asyncio
from typing import Final, TypeVar

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from services.gateway.events.event_filter import EventFilter
from services.gateway.events.feed import Event, Feed
from services.gateway.events.place import Place, parse_watch_place
from services.gateway.events.session_watch import SNAPSHOT, SessionWatch, WatchedEvent
from shared.bus import trace
from shared.bus.client import Bus
from shared.contracts import subjects
from shared.contracts.endpoint import Endpoint
from shared.contracts.errors import HeadraceError, Internal, Invalid
from shared.contracts.permissions import COMPUTE_READ
from shared.contracts.watch import WatchCommands, Watched, WatchEvent, WatchSession
from shared.runtime.admission import Admission
from shared.runtime.log import log
from shared.service.ask import ask
from shared.service.context import Context
from shared.service.decode import MALFORMED, invalid
from shared.service.middleware.identity import of_watch
from shared.service.policy import NO_THING, Permissions, require

T = TypeVar("T")
Message = TypeVar("Message")
PLACES: Final = 1000
"""Requests that wait here at a time."""
PLACES_OF_ONE: Final = 64
"""Requests of one user that wait here at a time."""
ROOM: Final = 700 * 1024
"""Bytes of an answer's events: it is one message, of 1 MiB at most."""
_LINGER = 0.01
"""Seconds for which more may come when something has: fewer, fuller answers."""


class _Outcome(msgspec.Struct):
    subject: str


_outcome = msgspec.json.Decoder(_Outcome).decode

WATCHED = ("session", "commands")
"""What can be watched."""


class WatchEndpoint:
    """Answers from `start` to `stop`."""

    def __init__(self, bus: Bus, permissions: Permissions) -> None:
        self._bus, self._permissions = bus, permissions
        self._subscription: Subscription | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._waiting: set[SessionWatch | Feed] = set()
        self._admission = Admission("requests for what happens", most=PLACES, of_one=PLACES_OF_ONE)
        self._stopping = False

    async def start(self) -> None:
        """Subscribes."""
        self._subscription = await self._bus.nc.subscribe(subjects.watch("*", "*"), queue="gateway", cb=self._take)

    async def stop(self) -> None:
        """Who waits is answered: it asks the next gateway."""
        if self._subscription is not None and self._bus.is_connected:
            await self._subscription.unsubscribe()
        self._stopping = True
        for waiting in self._waiting:
            waiting.wake()
        if self._running:
            await asyncio.wait(self._running, timeout=5)

    async def _take(self, message: Msg) -> None:
        if subjects.is_reply(message.reply):
            task = asyncio.create_task(self._answer(message))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _answer(self, message: Msg) -> None:
        context, what = of_watch(message.subject, message.headers), message.subject.split(".")[3]
        token, trace_id = trace.current.set(context.trace), trace.trace_id(context.trace)
        try:
            reply = msgspec.json.encode(await self._counted(context, what, message.data))
            headers = None
        except Exception as error:
            known = error if isinstance(error, HeadraceError) else Internal()
            if isinstance(known, Internal):
                log.error(
                    "watch.failed", user=context.user, what=what, trace=trace_id, error=repr(error), exc_info=error
                )
            reply = msgspec.json.encode(known.body(trace_id))
            headers = {
                "Nats-Service-Error-Code": str(known.status),
                "Nats-Service-Error": " ".join(known.message.split())[:200],
            }
        finally:
            trace.current.reset(token)
        if self._bus.is_connected:
            await self._bus.nc.publish(message.reply, reply, headers=headers)

    async def _counted(self, context: Context, what: str, data: bytes) -> Watched:
        async with self._admission.admit(context.user):
            if what in WATCHED:
                await require(self._permissions, context, f"{what}.watch", COMPUTE_READ, lambda: NO_THING)
            if what == "session":
                return await self._session(context, _decode(data, WatchSession))
            if what == "commands":
                return await self._commands(context.user, _decode(data, WatchCommands))
            raise Invalid(f"{what!r} cannot be watched: session and commands can", field="subject")

    async def _session(self, context: Context, query: WatchSession) -> Watched:
        async def ask_as_reader(endpoint: Endpoint[Message, T], message: Message) -> T:
            return await ask(self._bus, endpoint, message, context, timeout=10)

        after = parse_watch_place(query.place, "place") if query.place else None
        event_filter = EventFilter(query.tasks, query.results, query.events)
        watch = SessionWatch(self._bus, ask_as_reader, query.session, event_filter, after)
        await watch.open()
        self._waiting.add(watch)
        try:
            taken = await _taken(watch, self._patience(query.wait))
            events: list[WatchEvent] = []
            at = watch.at
            room = ROOM
            for one in taken:
                room -= len(one.data) + 200
                if events and room < 0 and at:
                    return Watched(events, at)
                events.append(WatchEvent(one.event, str(query.session), msgspec.Raw(one.data)))
                at = one.at
            return Watched(events, watch.at)
        finally:
            self._waiting.discard(watch)
            await watch.close()

    def _patience(self, wait: float) -> float:
        """Seconds to wait; called when `stop` would already wake the one who waits."""
        return 0 if self._stopping else wait

    async def _commands(self, user: str, query: WatchCommands) -> Watched:
        after = parse_watch_place(query.place, "place").place if query.place else None
        feed = Feed(self._bus, subjects.event("command", "*", ">"), after)
        place = await feed.open()
        self._waiting.add(feed)
        try:
            if after is None:
                return Watched([], str(place))
            own = subjects.command(user, "", "", "")[:-2]  # `hr.cmd.<user>.`
            clock = asyncio.get_running_loop().time
            end, room = clock() + self._patience(query.wait), ROOM
            events: list[WatchEvent] = []
            while not events and (taken := await feed.take(max(0, end - clock()))):
                for event in taken:
                    if command_subject(event).startswith(own):
                        room -= len(event.data) + 200
                        if events and room < 0:
                            break
                        events.append(WatchEvent(event.name, event.entity, msgspec.Raw(event.data)))
                    place = Place(event.incarnation, event.sequence)
            return Watched(events, str(place), lost=not await feed.joins())
        finally:
            self._waiting.discard(feed)
            await feed.close()


async def _taken(watch: SessionWatch, wait: float) -> list[WatchedEvent]:
    """The next events that pass the filter, and those that come with them; an empty list after `wait` seconds."""
    clock = asyncio.get_running_loop().time
    end = clock() + wait
    while True:
        at = watch.at
        taken = await watch.take(max(0, end - clock()))
        if taken or watch.at == at or clock() >= end:  # otherwise only what does not pass came
            break
    if taken and taken[-1].event not in SNAPSHOT:
        await asyncio.sleep(_LINGER)
        taken += await watch.take(0)
    return taken


def command_subject(event: Event) -> str:
    """The subject of the command whose outcome the event is; empty, so nobody's, if it does not say so."""
    try:
        return _outcome(event.data).subject
    except MALFORMED:
        return ""


def _decode(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data or b"{}", type=kind)
    except MALFORMED as error:
        raise invalid(error) from None
