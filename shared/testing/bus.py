"""The bus in memory: below the real `Bus`, so that publishes, pulls, endpoints and the topology are the product's own.

    broker = MemoryBroker()
    bus = await broker.connect("scheduler")     # a Bus
    …
    broker.assert_empty()

What is sent is bytes by then: every message passes through the codec. `redeliver` stands for an ack wait that has passed;
nothing comes again by itself. Held to the same suite as NATS (`conformance_bus`). It has no permissions, no schedules, and
no limits of age or size.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.nuid import NUID

from shared.bus.client import Bus
from shared.bus.delegations import Delegations
from shared.bus.publish import Publisher
from shared.contracts.subjects import SERVICES
from shared.testing.streams import Streams, matches

OnMessage = Callable[[Msg], Awaitable[None]]


class MemoryBroker:
    """What all connections share. `published`: subject and data of everything that was sent, acks and API aside."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.streams = Streams(self._deliver)
        self._subscriptions: list[_Subscription] = []
        self._turn = count()
        self._keys = MemoryKeys()

    async def connect(self, name: str, *, apply_topology: bool = True) -> Bus:
        """A connection, with the topology applied as the real one has it. A service signs, as whom it is called."""
        delegations = Delegations(name, self._keys.signature(name), self._keys) if name in SERVICES else Delegations()
        bus = Bus(name, apply_topology=apply_topology, delegations=delegations)
        bus.nc = MemoryClient(self)
        bus._publisher = Publisher(bus.nc)
        await bus._publisher.start()
        await bus.prepare()
        return bus

    def redeliver(self) -> int:
        """What was delivered and not acknowledged comes again. Returns how many messages."""
        return self.streams.redeliver()

    def messages(self, stream: str) -> list[tuple[str, bytes]]:
        """Subject and data of what a stream holds, in order."""
        return self.streams.messages(stream)

    def assert_empty(self) -> None:
        """Every queue has been worked off, and everything delivered was acknowledged."""
        left = self.streams.left()
        assert not left, f"messages left behind: {left}"

    # -- for the connections

    def _add(self, subscription: "_Subscription") -> None:
        self._subscriptions.append(subscription)

    def _remove(self, subscription: "_Subscription") -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def _publish(self, subject: str, data: bytes, reply: str, headers: dict[str, str] | None) -> bool:
        """Whether anybody took it."""
        if subject.startswith("$JS."):
            answer = self.streams.call(subject, data, reply)
            if answer is not None and reply:
                self._deliver(reply, answer, "", None)
            return True
        if not subject.startswith("_INBOX"):
            self.published.append((subject, data))
        delivered = self._deliver(subject, data, reply, headers)
        ack = self.streams.store(subject, data, headers)
        if ack is not None and reply:
            self._deliver(reply, ack, "", None)
        return delivered or ack is not None

    def _deliver(self, to: str, data: bytes, reply: str, headers: dict[str, str] | None, subject: str = "") -> bool:
        """To everybody who listens there, and to one of each queue group. `subject`: what it says of itself, if other."""
        groups: dict[str, list[_Subscription]] = {}
        for place, subscription in enumerate(self._subscriptions):
            if matches(subscription.subject, to):
                groups.setdefault(subscription.queue or f" {place}", []).append(subscription)
        for members in groups.values():
            taker = members[next(self._turn) % len(members)]
            taker.put(subject or to, data, reply, headers)
        return bool(groups)


class MemoryKeys:
    """A key pair for each issuer that asks for one."""

    def __init__(self) -> None:
        self._private: dict[str, Ed25519PrivateKey] = {}

    def signature(self, issuer: str) -> Callable[[bytes], bytes]:
        """Signs as `issuer`."""
        return self._private.setdefault(issuer, Ed25519PrivateKey.generate()).sign

    def is_signed(self, issuer: str, payload: bytes, signature: bytes) -> bool:
        """Whether the issuer's key has signed it; a signature of Ed25519 is always the same for the same bytes."""
        return issuer in self._private and self._private[issuer].sign(payload) == signature

    def refresh(self) -> bool:
        """They never change."""
        return False


class _Subscription:
    """Hears its messages one after the other, in a task of its own, as nats-py does."""

    def __init__(self, client: "MemoryClient", subject: str, queue: str, cb: OnMessage) -> None:
        self.subject, self.queue, self._client, self._cb = subject, queue, client, cb
        self._arrived: asyncio.Queue[Msg] = asyncio.Queue()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def put(self, subject: str, data: bytes, reply: str, headers: dict[str, str] | None) -> None:
        client: Any = self._client
        self._arrived.put_nowait(Msg(client, subject, reply, data, headers and dict(headers)))

    async def _run(self) -> None:
        while True:
            message = await self._arrived.get()
            try:
                await self._cb(message)
            finally:
                self._arrived.task_done()

    async def unsubscribe(self, limit: int = 0) -> None:
        self._client.broker._remove(self)
        self._task.cancel()

    async def drain(self) -> None:
        """No more messages; those that have arrived are delivered."""
        self._client.broker._remove(self)
        await self._arrived.join()
        self._task.cancel()


class MemoryClient:
    """The part of nats-py's client that Headrace uses."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.is_connected = True
        self._nuid = NUID()
        self._subscriptions: list[_Subscription] = []

    def new_inbox(self) -> str:
        """A subject of its own for replies."""
        return f"_INBOX.{self._nuid.next().decode()}"

    async def subscribe(self, subject: str, queue: str = "", cb: OnMessage | None = None, **_: Any) -> _Subscription:
        """Calls `cb` with each message, one after the other; a queue group shares them."""
        assert cb is not None, "the fake knows subscriptions with a callback only"
        made = _Subscription(self, subject, queue, cb)
        self._subscriptions.append(made)
        self.broker._add(made)
        return made

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Delivers a message; with a reply subject and nobody to take it, the status 503 as the server does."""
        taken = self.broker._publish(subject, payload, reply, headers)
        if reply and not taken:
            self.broker._deliver(reply, b"", "", {"Status": "503"})

    async def request(
        self, subject: str, payload: bytes = b"", timeout: float = 5, headers: dict[str, str] | None = None
    ) -> Msg:
        """One reply; NoRespondersError if nobody listens, TimeoutError after `timeout` seconds."""
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        inbox = self.new_inbox()

        async def take(message: Msg) -> None:
            if not answer.done():
                answer.set_result(message)

        subscription = await self.subscribe(inbox, cb=take)
        try:
            await self.publish(subject, payload, inbox, headers)
            async with asyncio.timeout(timeout):
                message = await answer
        finally:
            await subscription.unsubscribe()
            self._subscriptions.remove(subscription)
        if message.headers and message.headers.get("Status") == "503":
            raise NoRespondersError
        return message

    async def flush(self, timeout: float = 10) -> None:
        """Lets what was delivered be handled."""
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Ends all subscriptions."""
        self.is_connected = False
        for subscription in self._subscriptions:
            await subscription.unsubscribe()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(subscription._task, return_exceptions=True)
