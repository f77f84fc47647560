"""The connection of one process to the bus.

It reconnects for ever. At every (re)connect the topology is applied first, then the callbacks run with the names of the
streams whose storage was lost meanwhile, then what was not acknowledged is sent again.
"""

import asyncio
import re
import signal
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

import msgspec
import nats
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from shared.bus import topology, trace
from shared.bus.connection import Connection
from shared.bus.delegations import Delegations
from shared.bus.publish import LARGEST, PubAck, Publisher, encode, stored
from shared.contracts import headers as h
from shared.contracts.errors import ErrorBody, HeadraceError, Internal, TimedOut, TooLarge, Unavailable, from_body
from shared.runtime.log import log
from shared.runtime.retry import Backoff, retry
from shared.runtime.startup import Absence, address, connect_patiently, reason

_DENIED = re.compile(r"permissions violation for publish to \"([^\"]+)\"", re.IGNORECASE)

_AWAY = (OSError, TimeoutError, nats.errors.Error)
_REFUSED = re.compile("authorization violation|authentication", re.IGNORECASE)


def _reason(error: BaseException) -> str:
    """Why the bus does not let us in, in words for people."""
    return "unknown user, or wrong password" if _REFUSED.search(str(error)) else reason(error)


T = TypeVar("T")
OnConnected = Callable[[frozenset[str]], Awaitable[None]]
"""Called with the names of the streams that were lost (and made again) since the last call; none at the first connect."""


class BusSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`nats_replicas`: how many servers of a cluster keep each stream; the same for every service.

    `delegation_key_file`: this service's private key, with which it signs for whom it asks; `issuers_file`: the public keys of all
    services (`python -m deploy.keys` makes both). Workers have neither.
    """

    nats_url: str = "nats://127.0.0.1:4222"
    nats_user: str = ""
    nats_password: str = ""
    nats_replicas: Literal[1, 3, 5] = 1
    delegation_key_file: str = ""
    issuers_file: str = ""


class Bus:
    """One connection of a process. `apply_topology`: False for those who may not change streams: workers, tools.

    `name`: of the process, as the server shows it. `replicas`: how many servers of a cluster keep each stream.
    `delegations`: signs for whom this process asks, and checks for whom others do.
    """

    def __init__(
        self, name: str, *, apply_topology: bool = True, replicas: int = 1, delegations: Delegations | None = None
    ) -> None:
        self.name, self.replicas = name, replicas
        self.delegations = delegations or Delegations()
        self.nc: Any = Connection()
        self.incarnations: dict[str, str] = {}
        self._lost: set[str] = set()
        """Streams found to be lost, with which not all callbacks have been called yet."""
        self._apply_topology = apply_topology
        self._callbacks: list[OnConnected] = []
        self._publisher: Publisher | None = None
        self._applying = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self.absence: Absence | None = None

    @classmethod
    async def connect(cls, settings: BusSettings, name: str, *, apply_topology: bool = True) -> "Bus":
        """Connects, waiting for a server that is not up yet, and applies the topology. StartFailed after two minutes."""
        delegations = Delegations.load(settings.delegation_key_file, settings.issuers_file)
        bus = cls(name, apply_topology=apply_topology, replicas=settings.nats_replicas, delegations=delegations)
        user = settings.nats_user

        async def connect() -> None:
            bus.nc = await bus._connected(settings)

        await connect_patiently("NATS", settings.nats_url, connect, on=_AWAY, why=_reason, user=user)
        log.info("bus.connected", address=address(settings.nats_url), user=user)
        try:
            bus._publisher = Publisher(bus.nc)
            await bus._publisher.start()
            away = (Unavailable, TimedOut)
            await connect_patiently("JetStream", settings.nats_url, bus.prepare, on=away, why=str, user=user)
        except BaseException:
            await bus.close()
            raise
        return bus

    async def _connected(self, settings: BusSettings) -> Connection:
        """One attempt. nats-py's own would be repeated for ever without a word."""
        user = settings.nats_user
        options: dict[str, Any] = {"user": user, "password": settings.nats_password} if user else {}
        prefix = f"_INBOX_{user}" if user else "_INBOX"
        client, problems = Connection(), deque[Exception](maxlen=1)

        async def note(error: Exception) -> None:
            problems.append(error)

        try:
            await client.connect(
                settings.nats_url,
                name=self.name,
                inbox_prefix=prefix.encode(),
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=5,
                ping_interval=10,
                max_outstanding_pings=3,
                pending_size=16 * 1024 * 1024,
                skip_subject_validation=True,
                error_cb=note,
                **options,
            )
        except BaseException as error:
            await client.close()
            if isinstance(error, nats.errors.NoServersError) and problems:
                raise problems[0] from error
            raise
        # From here on it reconnects by itself, for ever.
        client.options |= {"allow_reconnect": True, "max_reconnect_attempts": -1, "reconnect_time_wait": 1}
        self.absence = Absence("NATS", settings.nats_url, user=user)
        client._reconnected_cb, client._disconnected_cb = self._reconnected, self._disconnected
        client._closed_cb, client._error_cb = self._closed, self.on_error
        return client

    @property
    def is_connected(self) -> bool:
        """Whether the connection is up at the moment."""
        return bool(self.nc.is_connected)

    @property
    def unacknowledged(self) -> int:
        """Publishes that the bus has not confirmed yet."""
        return self._publisher.waiting if self._publisher else 0

    def on_connected(self, callback: OnConnected) -> None:
        """Has `callback` called at every reconnect, after the topology was applied."""
        self._callbacks.append(callback)

    # -- publishing

    async def send(self, subject: str, message: Any, headers: dict[str, str] | None = None) -> "asyncio.Future[PubAck]":
        """Publishes to a stream without waiting: the future is done when the message is stored. Survives reconnects."""
        assert self._publisher is not None
        return await self._publisher.send(subject, encode(message), headers)

    async def publish(
        self, subject: str, message: Any, *, headers: dict[str, str] | None = None, timeout: float = 10.0
    ) -> PubAck:
        """Publishes to a stream and waits until the message is stored; TimedOut after `timeout` seconds."""
        return await stored(await self.send(subject, message, headers), timeout)

    async def publish_core(self, subject: str, message: Any) -> None:
        """Publishes to those who are subscribed now (core NATS, no stream). Dropped without a connection."""
        if self.is_connected:
            await self.nc.publish(subject, encode(message))

    # -- request-reply

    async def ask(
        self, subject: str, data: bytes, *, timeout: float = 5.0, headers: dict[str, str] | None = None
    ) -> Msg:
        """A request with bytes as its body; Unavailable without a responder or connection, TimedOut without a reply.

        TooLarge before the server sees it: for a message over its limit, headers included, it would end the connection.
        """
        if len(data) > LARGEST:
            raise TooLarge(f"the request has {len(data)} bytes, a message at most {LARGEST}")
        try:
            # Not its own timeout: `asyncio.wait_for` of Python 3.11 drops a cancellation that comes together with the answer,
            # and a task that was cancelled would go on.
            async with asyncio.timeout(timeout):
                return await self.nc.request(subject, data, timeout=None, headers=headers)
        except NoRespondersError:
            raise Unavailable(f"nobody answers on {subject}") from None
        except TimeoutError:
            kind: type[HeadraceError] = TimedOut if self.is_connected else Unavailable
            raise kind(f"no answer on {subject} within {timeout:g} s") from None
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"the bus is away: {error!r}") from None

    async def request(
        self,
        subject: str,
        message: Any,
        reply: type[T],
        *,
        timeout: float = 5.0,
        headers: dict[str, str] | None = None,
    ) -> T:
        """A request whose reply is decoded as `reply`. A refusal of the other side is raised as the error that it was there."""
        sent = {h.TRACE: trace.current.get() or trace.new(), **(headers or {})}
        answer = await self.ask(subject, encode(message), timeout=timeout, headers=sent)
        if answer.headers and "Nats-Service-Error-Code" in answer.headers:
            raise error_of(answer)
        return msgspec.json.decode(answer.data, type=reply)

    # -- life

    async def close(self) -> None:
        """Closes the connection. What the bus has not acknowledged is left to its owner: an outbox row, an unacknowledged message."""
        self._closing = True
        for task in list(self._tasks):
            task.cancel()
        if self._publisher is not None:
            await self._publisher.stop()
        if not self.nc.is_connected:  # nats-py would write what waits to the connection that is gone, which raises
            self.nc._pending, self.nc._pending_data_size = [], 0
        await self.nc.close()

    async def prepare(self) -> None:
        """Prepares a new connection for use: applies the topology, calls the callbacks, sends again what was not acknowledged."""
        async with self._applying:
            if self._apply_topology:
                found = await topology.apply(self)
                self._lost |= {name for name, made in self.incarnations.items() if found.get(name) != made}
                self.incarnations = found
            lost = frozenset(self._lost)
            if lost:
                log.warning("bus.storage_lost", streams=sorted(lost))
            for callback in self._callbacks:
                await callback(lost)
            self._lost -= lost  # only now: when a callback fails, the next try calls all of them again
            assert self._publisher is not None
            await self._publisher.resend()

    async def _reconnected(self) -> None:
        if self.absence is not None:
            self.absence.over()
        log.warning("bus.reconnected", bus=self.name)
        # Not in the client's own callback: it would wait for replies that only it can read.
        task = asyncio.create_task(self._prepare_again())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _prepare_again(self) -> None:
        def log_failure(error: BaseException, tries: int) -> None:
            log.warning("bus.prepare_failed", error=repr(error), tries=tries)

        await retry(self.prepare, on=(Exception,), backoff=Backoff(first=0.2, ceiling=2), failed=log_failure)

    async def _disconnected(self) -> None:
        if not self._closing:
            log.warning("bus.disconnected", bus=self.name)

    async def _closed(self) -> None:
        """The client gives up for good at some errors of the protocol: then so does the process, and is started again."""
        if not self._closing:
            log.error("bus.closed", bus=self.name)
            signal.raise_signal(signal.SIGTERM)

    async def on_error(self, error: Exception) -> None:
        """Logs an error of the client; a publish that was denied fails with Forbidden."""
        if (denied := _DENIED.search(str(error))) and self._publisher is not None:
            log.error("bus.denied", subject=denied[1])
            self._publisher.refuse(denied[1], f"this user may not publish on {denied[1]}")
            return
        if self.absence is not None and not self.is_connected and not self._closing:
            self.absence.note(_reason(error))  # one for each attempt to reconnect
            return
        log.debug("bus.error", error=repr(error))


def error_of(answer: Msg) -> HeadraceError:
    """The error that a reply with the headers of a service error says."""
    try:
        return from_body(msgspec.json.decode(answer.data, type=ErrorBody))
    except msgspec.MsgspecError:
        assert answer.headers is not None
        return Internal(answer.headers.get("Nats-Service-Error", "unknown error"))
