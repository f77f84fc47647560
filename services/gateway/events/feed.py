"""Events from a place on, in order, none twice, none left out, across restarts of the bus.

An ephemeral pull consumer without acks, as NATS's "ordered consumer" is: it lives in the server's memory, its deliveries are
numbered, and at any doubt (a gap, silence, a reconnect) it is made anew behind the last event that was taken. When the
stream itself was lost and made again, reading starts at its beginning.
"""

import asyncio
import time
from collections import deque
from datetime import datetime
from typing import Any

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from services.gateway.events.place import Place
from shared.bus.client import Bus
from shared.bus.pull import MOST_BYTES
from shared.bus.request_status import is_over
from shared.bus.topology import api
from shared.contracts.errors import Unavailable
from shared.contracts.ids import uuid7
from shared.contracts.topology import EVENTS
from shared.runtime.log import log
from shared.runtime.retry import Backoff
from shared.service.decode import MALFORMED

BATCH = 128
"""Events that may lie here untaken, beside `MOST_BYTES`."""
_SECOND = 1_000_000_000
_HEARTBEAT_SECONDS = 1.0
_EXPIRES = 30.0
LATE = 60
"""Seconds after which the stream may have dropped what a slow reader has not seen."""
_json = msgspec.json.Decoder(msgspec.Raw).decode
_BACKOFF = Backoff(first=0.1, ceiling=2)


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event and its place in the stream. `subject`: `hr.evt.<noun>.<event>.<id>`; `data`: JSON."""

    incarnation: int
    sequence: int
    subject: str
    data: bytes

    @property
    def noun(self) -> str:
        """The noun of the subject, such as `task`."""
        return self.subject.split(".", 4)[2]

    @property
    def name(self) -> str:
        """`<noun>.<event>`: `task.changed`."""
        _, _, noun, event, _ = self.subject.split(".", 4)
        return f"{noun}.{event}"

    @property
    def entity(self) -> str:
        """The id at the end of the subject: for task and result events, the session's."""
        return self.subject.split(".", 4)[4]


def is_readable(subject: str, data: bytes) -> bool:
    """Whether an event is one: `hr.evt.<noun>.<event>.<id>`, and JSON. Another would end every reader that comes to it."""
    try:
        data.decode()
        _json(data)
    except MALFORMED:
        return False
    return subject.count(".") >= 4


def nanoseconds(rfc3339: str) -> int:
    """Since the epoch, of a time as the server writes it (up to nine digits of a second)."""
    whole, _, fraction = rfc3339.rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * _SECOND + int(fraction.ljust(9, "0")[:9] or 0)


def starting(after: Place | None, created: int, last: int, *, from_start: bool) -> int:
    """The sequence that counts as known. `after`: where the client was; `created`, `last`: what the stream is."""
    if after is None:
        return 0 if from_start else last
    if after.incarnation != created:
        return 0
    return min(after.sequence, last)  # an unflushed tail may be lost: its numbers are used again


class StreamExtent(msgspec.Struct, frozen=True):
    """What the event stream is now: when it was created, the first and the last event that it has."""

    created: int
    first: int
    last: int

    def follows(self, place: Place) -> bool:
        """Whether everything that came after `place` is still there."""
        return place.incarnation == self.created and self.first - 1 <= place.sequence <= self.last


async def _call(bus: Bus, verb: str, body: object = None) -> dict[str, Any]:
    answer = await api(bus, verb, body, timeout=2)
    if error := answer.get("error"):
        raise Unavailable(f"the event stream is away: {error.get('description')}")
    return answer


async def stream_extent(bus: Bus) -> StreamExtent:
    """When the event stream was created, and its first and last sequence now. Unavailable while the stream is away."""
    info = await _call(bus, f"STREAM.INFO.{EVENTS.name}")
    state = info["state"]
    return StreamExtent(nanoseconds(info["created"]), int(state["first_seq"]), int(state["last_seq"]))


class Feed:
    """The events under a subject filter. `open`, then `take` until `close`."""

    def __init__(self, bus: Bus, subject: str, after: Place | None = None, *, from_start: bool = False) -> None:
        self._bus, self._filter, self._from_start = bus, subject, from_start
        self.place = after
        self._lost = False
        self._late: int | None = None
        self.untaken: deque[Event] = deque()
        """Events that have arrived and were not taken."""
        self._arrived = asyncio.Event()
        self._consumer = ""
        self._expected = 1
        self.requested = 0
        """Events that the server was asked for and has not sent."""
        self._last_message = 0.0
        self._in_doubt = False
        self._inbox = bus.nc.new_inbox()
        self._subscription: Subscription | None = None
        self._watch: asyncio.Task[None] | None = None

    async def open(self) -> Place:
        """Every event after the place returned here will be taken."""
        self._subscription = await self._bus.nc.subscribe(self._inbox, cb=self._on_message)
        try:
            place = await self._attach()
        except BaseException:
            await self.close()
            raise
        self._watch = asyncio.create_task(self._keep_alive())
        return place

    async def close(self) -> None:
        """Ends the consumer."""
        if self._watch is not None:
            self._watch.cancel()
        if self._bus.is_connected:
            if self._subscription is not None:
                await self._subscription.unsubscribe()
            if self._consumer:
                await self._bus.nc.publish(f"$JS.API.CONSUMER.DELETE.{EVENTS.name}.{self._consumer}", b"")

    def wake(self) -> None:
        """Makes `take` return, perhaps with nothing."""
        self._arrived.set()

    async def take(self, seconds: float) -> list[Event]:
        """What has arrived; an empty list after `seconds` without anything."""
        if not self.untaken:
            self._arrived.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._arrived.wait()
            except TimeoutError:
                return []
        taken = list(self.untaken)
        self.untaken.clear()
        if self.requested <= BATCH // 2 and not self._in_doubt:
            await self._request()
        return taken

    async def joins(self) -> bool:
        """Whether nothing is missing between the place that it began at and what was taken so far.

        The stream may have been lost and made again; and what a slow reader has not seen is dropped once the stream is full.
        """
        if self._late is not None and not self._lost:
            now = await stream_extent(self._bus)
            self._lost, self._late = now.first - 1 > self._late, None
        return not self._lost

    async def _attach(self) -> Place:
        """Makes the consumer behind the last event taken over, and asks it for more."""
        now = await stream_extent(self._bus)
        created, last = now.created, now.last
        known = starting(self.place, created, last, from_start=self._from_start)
        if self.place is not None and not now.follows(self.place):
            log.info("events.moved", was=self.place, now=Place(created, known))
            self._lost = True
        known = max(known, now.first - 1)
        name = f"sse-{uuid7().hex}"
        config = {
            "name": name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": known + 1,
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subject": self._filter,
            "inactive_threshold": 60 * _SECOND,
            "mem_storage": True,
            "num_replicas": 1,
        }
        verb = f"CONSUMER.CREATE.{EVENTS.name}.{name}.{self._filter}"
        self._consumer, self._expected, self.requested = name, 1, 0
        made = await _call(self._bus, verb, {"stream_name": EVENTS.name, "config": config})
        if not made.get("num_pending"):  # nothing of ours up to there
            known = max(known, last)
        self.place, self._in_doubt = Place(created, known), False
        if self._lost:
            self._arrived.set()
        await self._request()
        return self.place

    async def _request(self) -> None:
        want = BATCH - self.requested - len(self.untaken)
        held = sum(len(event.data) for event in self.untaken)
        if want <= 0 or held > MOST_BYTES or not self._bus.is_connected:
            return
        self.requested += want
        self._last_message = asyncio.get_running_loop().time()
        body = {"batch": want, "max_bytes": MOST_BYTES, "expires": int(_EXPIRES * _SECOND)}
        body["idle_heartbeat"] = int(_HEARTBEAT_SECONDS * _SECOND)
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS.name}.{self._consumer}"
        await self._bus.nc.publish(subject, msgspec.json.encode(body), reply=self._inbox)

    async def _on_message(self, message: Msg) -> None:
        tokens = message.reply.split(".")
        if len(tokens) < 9 or tokens[0] != "$JS":
            await self._on_status(message)
            return
        at = 3 if len(tokens) == 9 else 5  # newer servers put domain and account hash before the stream
        if tokens[at] != self._consumer or self._in_doubt:
            return  # the end of a consumer that we gave up
        sequence, number = int(tokens[at + 2]), int(tokens[at + 3])
        if number != self._expected:
            self._in_doubt = True
            return
        assert self.place is not None
        self._last_message = asyncio.get_running_loop().time()
        self._expected += 1
        self.requested = max(0, self.requested - 1)
        behind = time.time_ns() - int(tokens[at + 4]) > LATE * _SECOND
        if behind and sequence > self.place.sequence + 1 and self._late is None:
            self._late = self.place.sequence
        self.place = Place(self.place.incarnation, sequence)
        if not is_readable(message.subject, message.data):
            log.warning("event.unreadable", subject=message.subject, sequence=sequence)
            return
        self.untaken.append(Event(self.place.incarnation, sequence, message.subject, message.data))
        self._arrived.set()

    async def _on_status(self, message: Msg) -> None:
        headers = message.headers or {}
        self._last_message = asyncio.get_running_loop().time()
        if is_over(headers):
            self.requested = max(0, self.requested - int(headers.get("Nats-Pending-Messages", BATCH)))
            if self.requested + len(self.untaken) <= BATCH // 2:
                await self._request()
        elif headers.get("Status") != "100":
            self._in_doubt = True

    async def _keep_alive(self) -> None:
        """Makes the consumer anew whenever there is doubt about it."""
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            await asyncio.sleep(_BACKOFF.delay(failures) if failures else _HEARTBEAT_SECONDS / 4)
            if not self._bus.is_connected:
                self._in_doubt = True
            elif self._in_doubt or (self.requested and loop.time() - self._last_message > 2.5 * _HEARTBEAT_SECONDS):
                self._in_doubt = True
                try:
                    await self._attach()
                    failures = 0
                except Exception as error:
                    failures += 1
                    log.warning("events.away", error=repr(error), tries=failures)
