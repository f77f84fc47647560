"""Publishing to streams: pipelined, with acks that we own.

nats-py waits for each ack with a future, a timer and a random inbox a message: 3,300 publishes a second, 25,000 in its
asynchronous form. One inbox for all and a counter in the reply subject make 60,000. A message stays in `_waiting` until the
bus has stored it: what was not acknowledged is sent again after a reconnect or a time-out. So a message may be stored
twice; those for which that matters carry a `Nats-Msg-Id`.
"""

import asyncio
from itertools import count
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.contracts.errors import Forbidden, Internal, RateLimited, TimedOut, TooLarge
from shared.contracts.topology import MESSAGE_LIMIT
from shared.runtime.log import log

RESEND_AFTER = 3.0
"""Seconds without an ack after which a message is sent again."""
MOST_WAITING = 50_000
"""Messages without an ack; with so many, the next one waits for room."""
LARGEST = 2 * MESSAGE_LIMIT - 4096
"""Bytes that a message's body may have: what the server takes, less room for the headers."""


class PubAck(msgspec.Struct, frozen=True):
    """The bus has stored a message. `seq`: its sequence in the stream; `duplicate`: a message with its id was there already."""

    stream: str = ""
    seq: int = 0
    duplicate: bool = False


class _ApiError(msgspec.Struct, frozen=True):
    code: int
    err_code: int = 0
    description: str = ""


class _Reply(msgspec.Struct, frozen=True):
    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: _ApiError | None = None


class _Waiting:
    __slots__ = ("data", "future", "headers", "sent", "subject")

    def __init__(self, subject: str, data: bytes, headers: dict[str, str] | None, future: "asyncio.Future[PubAck]"):
        self.subject, self.data, self.headers, self.future = subject, data, headers, future
        self.sent = 0.0


_decode = msgspec.json.Decoder(_Reply).decode
_STORE_FAILED = 10077
"""The server's number for a message that it could not store; the text says why: `maximum messages per subject exceeded`."""


class Publisher:
    """The pipelined publishes of one connection."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._numbers = count()
        self._waiting: dict[str, _Waiting] = {}
        self._room = asyncio.Event()
        self._room.set()
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Messages that the bus has not acknowledged yet."""
        return len(self._waiting)

    async def start(self) -> None:
        """Subscribes to the acks."""
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_ack)
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Cancels the futures of what is not acknowledged."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for entry in self._waiting.values():
            if not entry.future.done():
                entry.future.cancel()

    async def send(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> "asyncio.Future[PubAck]":
        """Hands a message to the connection. The future is done when the bus has stored it, however long that takes.

        TooLarge for more than `LARGEST` bytes. The future fails with Forbidden, RateLimited (the stream is full) or Internal.
        """
        if len(data) > LARGEST:
            raise TooLarge(f"a message on {subject} has {len(data)} bytes; {LARGEST} are allowed")
        while len(self._waiting) >= MOST_WAITING:
            self._room.clear()
            await self._room.wait()
        number = str(next(self._numbers))
        future: asyncio.Future[PubAck] = asyncio.get_running_loop().create_future()
        entry = self._waiting[number] = _Waiting(subject, data, headers, future)
        if self._client.is_connected:
            await self._transmit(number, entry)
        return future

    async def resend(self, older_than: float = 0) -> int:
        """Sends again, in order, what was not acknowledged for `older_than` seconds. Returns how many messages that are."""
        now = asyncio.get_running_loop().time()
        overdue = [(number, entry) for number, entry in self._waiting.items() if now - entry.sent >= older_than]
        for number, entry in overdue:
            if number in self._waiting:
                await self._transmit(number, entry)
        return len(overdue)

    async def _transmit(self, number: str, entry: _Waiting) -> None:
        entry.sent = asyncio.get_running_loop().time()
        try:
            await self._client.publish(
                entry.subject, entry.data, reply=f"{self._inbox}.{number}", headers=entry.headers
            )
        except Exception as error:  # the connection went away under us: the sweeper or the reconnect sends it again
            log.debug("publish.deferred", subject=entry.subject, error=repr(error))

    async def _on_ack(self, message: Msg) -> None:
        number = message.subject.rpartition(".")[2]
        entry = self._waiting.get(number)
        if entry is None:
            return
        if not message.data:  # 503: no stream listens there yet; the sweeper tries again
            return
        answer = _decode(message.data)
        if answer.error is not None:
            full = answer.error.err_code == _STORE_FAILED and answer.error.description.startswith("maximum ")
            if answer.error.code == 503 and not full:  # JetStream is starting or has no leader: the same
                return
            self._forget(number)
            text = f"publish to {entry.subject}: {answer.error.description}"
            if not entry.future.done():
                entry.future.set_exception(RateLimited(text) if full else Internal(text))
                entry.future.exception()  # a caller that does not look at it has the line in the log
            log.error("publish.refused", subject=entry.subject, error=answer.error.description)
            return
        self._forget(number)
        if not entry.future.done():
            entry.future.set_result(PubAck(answer.stream, answer.seq, answer.duplicate))

    def refuse(self, subject: str, why: str) -> None:
        """Fails all messages on a subject on which the server lets us publish nothing: Forbidden, with the reason."""
        for number, entry in list(self._waiting.items()):
            if entry.subject == subject:
                self._forget(number)
                if not entry.future.done():
                    entry.future.set_exception(Forbidden(why))
                    entry.future.exception()

    def _forget(self, number: str) -> None:
        del self._waiting[number]
        if len(self._waiting) < MOST_WAITING:
            self._room.set()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(RESEND_AFTER / 3)
            if self._client.is_connected and self._waiting:
                sent = await self.resend(RESEND_AFTER)
                if sent:
                    log.warning("publish.resent", messages=sent)


async def stored(future: "asyncio.Future[PubAck]", timeout: float = 10.0) -> PubAck:
    """Waits for the ack of a message that was sent; TimedOut after `timeout` seconds. It may be stored all the same, later."""
    try:
        async with asyncio.timeout(timeout):
            return await asyncio.shield(future)
    except TimeoutError:
        raise TimedOut("the bus did not acknowledge the message in time") from None


def encode(message: Any) -> bytes:
    """A Struct as JSON; bytes as they are."""
    return message if isinstance(message, bytes) else msgspec.json.encode(message)
