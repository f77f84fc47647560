"""Watching over NATS: each request is told what came after the place that it names, as soon as there is something.

Nothing is kept between two requests, so that any gateway answers any of them, and who asks slowly costs nothing meanwhile.
Who asks is the subject's user token, which the bus binds to the asker (deploy/nats/permissions.py).
"""

import asyncio
from typing import Any, Final, TypeVar

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from services.gateway.events.event_filter import Wanted
from services.gateway.events.feed import Event, Feed
from services.gateway.events.watch import SNAPSHOT, Told, Watch, parse_stand
from services.gateway.http.sse import Place
from shared.bus import trace
from shared.bus.client import Bus
from shared.contracts import headers as h
from shared.contracts import subjects
from shared.contracts.errors import HeadraceError, Internal, Invalid
from shared.contracts.watch import WatchCommands, Watched, WatchEvent, WatchSession
from shared.runtime.admission import Admission
from shared.runtime.log import log
from shared.service.decode import MALFORMED, invalid

T = TypeVar("T")
PLACES: Final = 1000
"""Requests that wait here at a time."""
PLACES_OF_ONE: Final = 64
"""And those of one user."""
ROOM: Final = 700 * 1024
"""Bytes of an answer's events: it is one message, of 1 MiB at most."""
_LINGER = 0.01
"""Seconds for which more may come when something has: fewer, fuller answers."""


class _Of(msgspec.Struct):
    subject: str


_command_of = msgspec.json.Decoder(_Of).decode


class Watchers:
    """Answers from `start` to `stop`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._subscription: Subscription | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._waiting: set[Watch | Feed] = set()
        self._admission = Admission("requests for what happens", most=PLACES, of_one=PLACES_OF_ONE)
        self._stopping = False

    async def start(self) -> None:
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
        _, _, user, what = message.subject.split(".")
        parent = trace.accept((message.headers or {}).get(h.TRACE))
        token, named = trace.current.set(parent), trace.trace_id(parent)
        try:
            reply = msgspec.json.encode(await self._counted(user, what, message.data))
            headers = None
        except Exception as error:
            told = error if isinstance(error, HeadraceError) else Internal()
            if isinstance(told, Internal):
                log.error("watch.failed", user=user, what=what, trace=named, error=repr(error), exc_info=error)
            reply = msgspec.json.encode(told.body(named))
            headers = {
                "Nats-Service-Error-Code": str(told.status),
                "Nats-Service-Error": " ".join(told.message.split())[:200],
            }
        finally:
            trace.current.reset(token)
        if self._bus.is_connected:
            await self._bus.nc.publish(message.reply, reply, headers=headers)

    async def _counted(self, user: str, what: str, data: bytes) -> Watched:
        async with self._admission.admit(user):
            if what == "session":
                return await self._session(user, _decode(data, WatchSession))
            if what == "commands":
                return await self._commands(user, _decode(data, WatchCommands))
            raise Invalid(f"{what!r} cannot be watched: session and commands can", field="subject")

    async def _session(self, user: str, asked: WatchSession) -> Watched:
        after = parse_stand(asked.place, "place") if asked.place else None
        wanted = Wanted(asked.tasks, asked.results, asked.events)
        watch = Watch(self._bus, _Asking(self._bus, user), asked.session, wanted, after)
        await watch.open()
        self._waiting.add(watch)
        try:
            told = await _until(watch, self._patience(asked.wait))
            events: list[WatchEvent] = []
            at = watch.at
            room = ROOM
            for one in told:
                room -= len(one.data) + 200
                if events and room < 0 and at:
                    return Watched(events, at)
                events.append(WatchEvent(one.event, str(asked.session), msgspec.Raw(one.data)))
                at = one.at
            return Watched(events, watch.at)
        finally:
            self._waiting.discard(watch)
            await watch.close()

    def _patience(self, wait: float) -> float:
        """Seconds. Asked when `stop` would already wake the one who waits."""
        return 0 if self._stopping else wait

    async def _commands(self, user: str, asked: WatchCommands) -> Watched:
        after = parse_stand(asked.place, "place").place if asked.place else None
        feed = Feed(self._bus, subjects.event("command", "*", ">"), after)
        place = await feed.open()
        self._waiting.add(feed)
        try:
            if after is None:
                return Watched([], _text(place))
            mine = subjects.command(user, "", "", "")[:-2]  # `hr.cmd.<user>.`
            clock = asyncio.get_running_loop().time
            end, room = clock() + self._patience(asked.wait), ROOM
            events: list[WatchEvent] = []
            while not events and (taken := await feed.take(max(0, end - clock()))):
                for event in taken:
                    if _command(event).startswith(mine):
                        room -= len(event.data) + 200
                        if events and room < 0:
                            break
                        events.append(_event(event))
                    place = Place(event.incarnation, event.sequence)
            return Watched(events, _text(place), lost=not await feed.joins())
        finally:
            self._waiting.discard(feed)
            await feed.close()


class _Asking:
    """Asks the scheduler as a user."""

    def __init__(self, bus: Bus, user: str) -> None:
        self._bus, self._user = bus, user

    async def __call__(self, action: str, request: Any, reply: type[T]) -> T:
        subject = subjects.rpc("scheduler", *action.split("."))
        return await self._bus.request(subject, request, reply, timeout=10, headers={h.USER: self._user})


async def _until(watch: Watch, wait: float) -> list[Told]:
    """What is wanted first, and what comes with it."""
    clock = asyncio.get_running_loop().time
    end = clock() + wait
    while True:
        at = watch.at
        told = await watch.take(max(0, end - clock()))
        if told or watch.at == at or clock() >= end:  # otherwise only what is not wanted came
            break
    if told and told[-1].event not in SNAPSHOT:
        await asyncio.sleep(_LINGER)
        told += await watch.take(0)
    return told


def _command(event: Event) -> str:
    """The subject of the command whose outcome it is; nobody's, if it does not say so."""
    try:
        return _command_of(event.data).subject
    except MALFORMED:
        return ""


def _event(event: Event) -> WatchEvent:
    _, _, noun, name, entity = event.subject.split(".", 4)
    return WatchEvent(f"{noun}.{name}", entity, msgspec.Raw(event.data))


def _text(place: Place) -> str:
    return f"{place.incarnation}-{place.sequence}"


def _decode(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data or b"{}", type=kind)
    except MALFORMED as error:
        raise invalid(error) from None
