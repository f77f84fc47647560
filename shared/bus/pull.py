"""A continuous pull from a durable consumer: requests overlap, so that the server never waits for us.

3 to 5 times faster than `fetch`, and it survives what `fetch` does not: a server restart (idle heartbeats are watched), a
consumer that was lost and made again. Backpressure: a new request goes out only as messages are taken.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from shared.bus.client import Bus
from shared.bus.request_status import is_over
from shared.runtime.log import log
from shared.runtime.retry import Backoff

LINGER = 0.1
"""Seconds for which the ack of the newest message may wait for the next one to come."""
MOST_BYTES = 4 * 1024 * 1024
"""Bytes that one request for messages may bring, and that may lie here untaken before the next: 64 messages of a megabyte at
once are more than the server keeps for a connection that does not read fast enough, and it would end it ("slow consumer").
Twice the largest message at least: a request that the first message does not fit into is refused."""
_SECOND = 1_000_000_000


def delivery(message: Msg) -> tuple[int, int]:
    """How often a message was delivered (1 the first time), and its sequence in the stream."""
    tokens = message.reply.split(".")
    # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.… ; newer servers put domain and account hash before the stream
    at = 4 if len(tokens) == 9 else 6
    return int(tokens[at]), int(tokens[at + 1])


class Pull:
    """Messages of one consumer.

    batch         how many messages may lie here untaken, at most `MOST_BYTES` of them and one request more
    expires       seconds after which a request for messages ends at the server
    heartbeat     seconds between the server's signs of life while a request is open
    return_after  seconds after which a message that nobody takes is returned to the bus, for others; 0: never
    renew         whether messages that were delivered and not answered stay ours while we live: renewed at every heartbeat
    rank          of this process now, for a consumer that is `ranked`: the lowest gets the messages
    """

    def __init__(
        self,
        bus: Bus,
        stream: str,
        consumer: str,
        *,
        batch: int = 512,
        expires: float = 30.0,
        heartbeat: float = 1.0,
        return_after: float = 0,
        renew: bool = False,
        rank: Callable[[], int] | None = None,
    ) -> None:
        self._bus, self._consumer, self._batch = bus, f"{stream}.{consumer}", batch
        self._group, self._rank = consumer, rank
        self._renews = renew
        self._unanswered: dict[str, float] = {}  # reply subject → when it came, or was renewed
        self._expires, self._heartbeat = expires, heartbeat
        self._return_after = return_after
        self._buffer: deque[tuple[float, Msg]] = deque()  # when it came, and the message
        self._buffered_bytes = 0  # of the messages in the buffer
        self._newest = 0  # the last sequence that arrived
        self._pending_acks: list[Msg] = []  # acks that wait for the next message
        self._ack_timer: asyncio.Task[None] | None = None
        self._paused = False  # nobody takes: what was returned is for others
        self._arrived = asyncio.Event()
        self._requested = 0  # messages that the server may still send
        self._generation = 0
        self._last_message_at = 0.0
        self._failures = 0
        self._subscription: Subscription | None = None
        self._watch: asyncio.Task[None] | None = None
        self._stopped = False

    async def start(self) -> None:
        """Begins to request messages."""
        self._inbox = self._bus.nc.new_inbox()
        self._subscription = await self._bus.nc.subscribe(f"{self._inbox}.*", cb=self._on_message)
        self._watch = asyncio.create_task(self._keep_alive())
        await self._request()

    async def stop(self) -> None:
        """Requests no more; messages that are not taken are returned to the bus at once."""
        self._stopped = True
        for task in (self._watch, self._ack_timer):
            if task is not None:
                task.cancel()
        await self._flush()
        if self._subscription is not None and self._bus.is_connected:
            with contextlib.suppress(nats.errors.Error, TimeoutError, OSError):
                async with asyncio.timeout(2):
                    await self._subscription.drain()  # what is on its way here arrives first
            while self._buffer:
                await self.nak(self._next())
        self._arrived.set()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    @property
    def paused(self) -> bool:
        """Whether it has returned messages that nobody took, and asks for no more until somebody takes."""
        return self._paused

    @property
    def buffered(self) -> int:
        """Messages that have arrived and are not taken."""
        return len(self._buffer)

    @property
    def buffered_bytes(self) -> int:
        """Bytes of the messages that have arrived and are not taken."""
        return self._buffered_bytes

    @property
    def requested(self) -> int:
        """Messages that the server may still send on open requests."""
        return self._requested

    @property
    def restarts(self) -> int:
        """How often requests were begun anew: after a refusal, or because the server gave no sign of life."""
        return self._generation

    @property
    def renewed(self) -> list[str]:
        """The reply subjects of messages that stay ours until they are answered, with `renew`."""
        return list(self._unanswered)

    async def take(self, most: int = 1_000_000) -> list[Msg]:
        """The messages that have arrived, at least one and at most `most`; an empty list only after `stop`."""
        while True:
            await self._return_old()
            if self._paused:
                self._paused = False
                await self._request()
            if self._buffer:
                break
            if self._stopped:
                return []
            self._arrived.clear()
            await self._arrived.wait()
        taken = [self._next() for _ in range(min(most, len(self._buffer)))]
        if self._requested + len(self._buffer) <= self._batch // 2:
            await self._request()
        return taken

    def _next(self) -> Msg:
        message = self._buffer.popleft()[1]
        self._buffered_bytes -= len(message.data)
        return message

    async def _return_old(self) -> None:
        """Returns messages that nobody took in time: the bus would deliver them to somebody else too, and ours would be stale."""
        before = asyncio.get_running_loop().time() - self._return_after
        while self._return_after and self._buffer and self._buffer[0][0] < before:
            await self.nak(self._next())
            self._paused = True

    async def ack(self, message: Msg) -> None:
        """Acknowledges a message, perhaps a little later.

        A work queue that becomes empty costs the server a file, and between two tasks of a chain it always would. So the
        ack of the newest message waits for the next one, for `LINGER` seconds at most. After a kill it is delivered again.
        """
        if self._stopped or delivery(message)[1] < self._newest:
            await self._respond(message, b"+ACK")
            return
        self._pending_acks.append(message)
        if self._ack_timer is None:
            self._ack_timer = asyncio.create_task(self._flush_later())

    async def _flush_later(self) -> None:
        await asyncio.sleep(LINGER)
        self._ack_timer = None
        await self._flush()

    async def _flush(self) -> None:
        acks, self._pending_acks = self._pending_acks, []
        for message in acks:
            await self._respond(message, b"+ACK")

    async def nak(self, message: Msg, delay: float = 0) -> None:
        """Refuses a message for now: it is delivered again, after `delay` seconds."""
        await self._respond(message, b"-NAK" + (b' {"delay": %d}' % int(delay * _SECOND) if delay else b""))

    async def term(self, message: Msg) -> None:
        """Ends a message: it is never delivered again."""
        await self._respond(message, b"+TERM")

    async def working(self, message: Msg) -> None:
        """Says that work on a message goes on: the ack wait begins anew."""
        await self._send(message.reply, b"+WPI")

    async def _respond(self, message: Msg, word: bytes) -> None:
        if self._unanswered:
            self._unanswered.pop(message.reply, None)
        await self._send(message.reply, word)

    async def _send(self, reply: str, word: bytes) -> None:
        try:
            await self._bus.nc.publish(reply, word)
        except Exception as error:  # it will be delivered again, and found done
            log.debug("pull.answer_failed", error=repr(error))

    async def _request(self) -> None:
        count = self._batch - self._requested - len(self._buffer)
        if self._rank is not None:
            count = min(count, self._batch // 2)  # by halves: another is there when one expires, nobody gets in between
        if (
            self._stopped
            or self._paused
            or count <= 0
            or self._buffered_bytes > MOST_BYTES
            or not self._bus.is_connected
        ):
            return
        self._requested += count
        body: dict[str, Any] = {"batch": count, "max_bytes": MOST_BYTES, "expires": int(self._expires * _SECOND)}
        body["idle_heartbeat"] = int(self._heartbeat * _SECOND)
        if self._rank is not None:
            body["group"], body["priority"] = self._group, self._rank()
        self._last_message_at = asyncio.get_running_loop().time()
        await self._bus.nc.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._consumer}",
            msgspec.json.encode(body),
            reply=f"{self._inbox}.{self._generation}",
        )

    async def _on_message(self, message: Msg) -> None:
        self._last_message_at = asyncio.get_running_loop().time()
        if message.reply and message.reply.startswith("$JS.ACK"):
            self._requested = max(0, self._requested - 1)
            self._failures = 0
            self._newest = delivery(message)[1]  # of a stream that was lost and made again they begin anew
            if self._pending_acks:
                await self._flush()
            self._buffer.append((self._last_message_at, message))
            self._buffered_bytes += len(message.data)
            if self._renews:
                self._unanswered[message.reply] = self._last_message_at
            self._arrived.set()
            return
        await self._on_status(message)

    async def _on_status(self, message: Msg) -> None:
        headers = message.headers or {}
        status = headers.get("Status", "")
        if status == "100" or not message.subject.endswith(f".{self._generation}"):
            return  # an idle heartbeat, or the end of a request that we gave up
        self._requested -= int(headers.get("Nats-Pending-Messages", self._requested))
        self._requested = max(0, self._requested)
        if not is_over(headers):
            # The consumer is not there (yet): its maker is about to make it.
            self._requested = 0
            self._generation += 1
            log.debug("pull.refused", consumer=self._consumer, status=status, why=headers.get("Description"))
            await asyncio.sleep(Backoff(first=0.05, ceiling=1).delay(self._failures))
            self._failures += 1
        await self._request()

    async def _keep_alive(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._heartbeat)
            if not self._bus.is_connected:
                self._last_message_at = 0.0  # ask anew as soon as we are back
                continue
            if self._requested > 0 and loop.time() - self._last_message_at > 2.5 * self._heartbeat:
                self._requested = 0
                self._generation += 1
            await self._return_old()
            await self._renew(loop.time())
            if self._requested + len(self._buffer) <= self._batch // 2:
                await self._request()

    async def _renew(self, now: float) -> None:
        """Begins the ack wait anew for messages that came a while ago and are not answered."""
        for reply in [reply for reply, at in self._unanswered.items() if at < now - self._heartbeat / 2]:
            await self._send(reply, b"+WPI")
            if reply in self._unanswered:  # not answered meanwhile
                self._unanswered[reply] = now
