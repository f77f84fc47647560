"""The endpoints of one service, answered over NATS: requests on `hr.rpc` by nats.micro, commands on `hr.cmd` from the stream.

    service.on(SESSION_CREATE, sessions.create)
    await service.start()

One handler serves both ways in. What wraps it, from the outside: tracing, logging, the check of permissions, the time limit,
the database's errors. What it gets follows from the endpoint's class (`shared/contracts/endpoint.py`).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar, overload

import msgspec
from nats.micro import ServiceConfig, add_service
from nats.micro.request import Request as MicroRequest
from nats.micro.service import EndpointConfig

from shared.bus import trace
from shared.bus.client import Bus
from shared.bus.publish import LARGEST
from shared.contracts import subjects
from shared.contracts.endpoint import Change, Endpoint, Query, Steps
from shared.contracts.errors import HeadraceError, Internal, TooLarge
from shared.runtime.log import log
from shared.service.commands import Commands
from shared.service.context import Context, Handler
from shared.service.decode import decoder
from shared.service.middleware import wrap
from shared.service.middleware.database import database
from shared.service.middleware.identity import of_request
from shared.service.middleware.logging import logging
from shared.service.middleware.permission import permission
from shared.service.middleware.timeout import timeout
from shared.service.middleware.tracing import tracing
from shared.service.policy import Permissions, Policy
from shared.service.unit import Unit, Units

Request = TypeVar("Request")
Prepared = TypeVar("Prepared")
Reply = TypeVar("Reply")

CONCURRENT: Final = 64
"""Requests that one process works on at a time; more wait at the server's side of the subscription."""
SECONDS: Final = 10.0
"""How long a handler may take that changes nothing, or commits by itself."""
SECONDS_OF_CHANGE: Final = 30.0
"""How long a handler may take that runs in a unit of work."""


class Stats:
    """What nats.micro cannot count for handlers that run side by side."""

    def __init__(self) -> None:
        self.requests = self.errors = 0
        self.seconds = 0.0

    def as_dict(self) -> dict[str, float]:
        """The counts as `$SRV.STATS` shows them; `seconds` in handlers, all together."""
        return {"requests": self.requests, "errors": self.errors, "seconds": round(self.seconds, 6)}


class Registered(msgspec.Struct, frozen=True):
    """An endpoint with its handler, wrapped. `group`: the queue group that shares its requests. `room`: bounds how many run."""

    endpoint: Endpoint[Any, Any]
    handler: Handler
    subject: str
    group: str
    room: asyncio.Semaphore
    stats: Stats


class Service:
    """The endpoints of one service. Register them with `on`, then `start`.

    `metadata`: what this process says of itself to `$SRV.PING`. `expected`: endpoints without which it does not start.
    `permissions`: who decides about who may ask; the roles alone, unless it is set.
    """

    def __init__(
        self,
        bus: Bus,
        units: Units | None,
        name: str,
        version: str,
        description: str,
        expected: Iterable[Endpoint[Any, Any]] = (),
    ) -> None:
        self._bus, self._units, self._expected = bus, units, tuple(expected)
        self.name, self.version, self.description = name, version, description
        self.metadata: dict[str, str] = {}
        self.permissions: Permissions = Policy()
        self._registered: dict[str, Registered] = {}
        self._room = asyncio.Semaphore(CONCURRENT)
        self._running: set[asyncio.Task[None]] = set()
        self._micro: Any = None
        self._commands = Commands(bus, name, self.handle)

    @overload
    def on(
        self,
        endpoint: Query[Request, Reply] | Steps[Request, Reply],
        handler: Callable[[Context, Request], Awaitable[Reply]],
        *,
        seconds: float = ...,
        at_once: int | None = ...,
        site: str = ...,
        group: str = ...,
    ) -> None: ...

    @overload
    def on(
        self,
        endpoint: Change[Request, Reply],
        handler: Callable[[Unit, Context, Request], Awaitable[Reply]],
        *,
        seconds: float = ...,
    ) -> None: ...

    @overload
    def on(
        self,
        endpoint: Change[Request, Reply],
        handler: Callable[[Unit, Context, Prepared], Awaitable[Reply]],
        *,
        before: Callable[[Context, Request], Awaitable[Prepared]],
        seconds: float = ...,
    ) -> None: ...

    def on(
        self,
        endpoint: Endpoint[Any, Any],
        handler: Callable[..., Awaitable[Any]],
        *,
        before: Callable[[Context, Any], Awaitable[Any]] | None = None,
        seconds: float | None = None,
        at_once: int | None = None,
        site: str = "",
        group: str = "",
    ) -> None:
        """Registers the handler of an endpoint.

        before    looks at what is outside of the database while no transaction waits for it; what it returns is handed to the
                  handler in place of the request. It also runs for a repeat.
        seconds   after which the handler is stopped
        at_once   how many may run side by side, apart from the others: for what mostly waits, and would keep them out
        site      the site whose broker this is, where the subject names one
        group     the queue group that shares the requests, if not the service's
        """
        name = f"{endpoint.noun}.{endpoint.verb}"
        if name in self._registered:
            raise RuntimeError(f"{endpoint.name} has a handler already")
        changes = isinstance(endpoint, Change)
        call = self._in_unit(endpoint, handler, before) if changes else _plain(endpoint, handler)
        limit = seconds if seconds is not None else SECONDS_OF_CHANGE if changes else SECONDS
        self._registered[name] = Registered(
            endpoint,
            wrap(call, [tracing, logging, permission(endpoint, lambda: self.permissions), timeout(limit), database]),
            endpoint.subject_at(site),
            group or self.name,
            self._room if at_once is None else asyncio.Semaphore(at_once),
            Stats(),
        )
        if endpoint.durable:
            self._commands.names.add(name)

    def _in_unit(
        self,
        endpoint: Endpoint[Any, Any],
        handler: Callable[..., Awaitable[Any]],
        before: Callable[[Context, Any], Awaitable[Any]] | None,
    ) -> Handler:
        decode, units = decoder(endpoint.request), self._units
        assert units is not None

        async def call(ctx: Context, data: bytes) -> bytes:
            asked = decode(data)
            if before is not None:
                asked = await before(ctx, asked)

            async def work(unit: Unit) -> bytes:
                return msgspec.json.encode(await handler(unit, ctx, asked))

            return await units.once(ctx, data, work)

        return call

    @property
    def endpoints(self) -> list[Endpoint[Any, Any]]:
        """Those that have a handler here."""
        return [one.endpoint for one in self._registered.values()]

    async def handle(self, name: str, ctx: Context, data: bytes) -> bytes:
        """Carries out one request, here and now. `name`: `<noun>.<verb>`; returns the reply's body."""
        return await self._registered[name].handler(ctx, data)

    async def start(self) -> None:
        """Announces the endpoints and begins to take commands. RuntimeError if one that is expected has no handler."""
        if missing := [one.name for one in self._expected if one not in self.endpoints]:
            raise RuntimeError(f"without a handler: {', '.join(missing)}")
        config = ServiceConfig(
            name=self.name,
            version=self.version,
            description=self.description,
            metadata=self.metadata,
            queue_group=self.name,
            stats_handler=self._counted,
        )
        self._micro = await add_service(self._bus.nc, config)
        for one in self._registered.values():
            await self._micro.add_endpoint(
                EndpointConfig(
                    name=f"{one.endpoint.noun}-{one.endpoint.verb}",
                    subject=one.subject,
                    handler=self._taker(one),
                    queue_group=one.group,
                    metadata={"durable": "yes" if one.endpoint.durable else "no"},
                )
            )
        await self._commands.start()

    def _counted(self, micro: Any) -> dict[str, float]:
        """Puts our counts where `nats micro stats` looks."""
        ours = self._registered[micro.name.replace("-", ".")].stats
        micro.num_requests, micro.num_errors = ours.requests, ours.errors
        micro.processing_time = int(ours.seconds * 1e9)
        micro.average_processing_time = int(ours.seconds * 1e9 / max(1, ours.requests))
        return ours.as_dict()

    async def stop(self) -> None:
        """Takes nothing new and lets what runs finish, for at most 10 s."""
        await self._commands.stop_taking()
        if self._micro is not None:
            await self._micro.stop()
        if running := self._running | self._commands.running:
            await asyncio.wait(running, timeout=10)

    def _taker(self, one: Registered) -> Callable[[MicroRequest], Awaitable[None]]:
        async def take(request: MicroRequest) -> None:
            if not subjects.is_reply(request._msg.reply):
                log.warning("request.ignored", subject=request.subject, reply=request._msg.reply)
                return
            # nats.micro awaits one request of an endpoint after the other; ours run side by side.
            await one.room.acquire()
            task = asyncio.get_running_loop().create_task(self._answer(one, request))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

        return take

    async def _answer(self, one: Registered, request: MicroRequest) -> None:
        began = time.perf_counter()
        traced, logged = "", False
        try:
            ctx = of_request(request.subject, request.headers, self._bus.delegations)
            traced, logged = ctx.trace, True  # the middleware logs what goes wrong in the handler
            reply = await one.handler(ctx, request.data)
            logged = False
            await request.respond(_fits(ctx, reply))
        except Exception as error:
            one.stats.errors += 1
            named = trace.trace_id(traced)
            refusal = error if isinstance(error, HeadraceError) else Internal()
            if refusal is not error and not logged:
                log.error("reply.failed", subject=request.subject, trace=named, error=repr(error), exc_info=error)
            body = msgspec.json.encode(refusal.body(named))
            await request.respond_error(str(refusal.status), " ".join(refusal.message.split())[:200], body)
        finally:
            one.room.release()
            one.stats.requests += 1
            one.stats.seconds += time.perf_counter() - began


def _plain(endpoint: Endpoint[Any, Any], handler: Callable[..., Awaitable[Any]]) -> Handler:
    """A handler without a unit of work."""
    decode = decoder(endpoint.request)

    async def call(ctx: Context, data: bytes) -> bytes:
        return msgspec.json.encode(await handler(ctx, decode(data)))

    return call


def _fits(ctx: Context, reply: bytes) -> bytes:
    """The reply; TooLarge, with a line in the log, if the bus would not carry it."""
    if len(reply) <= LARGEST:
        return reply
    named = trace.trace_id(ctx.trace)
    log.error("reply.too_large", subject=ctx.subject, user=ctx.user, trace=named, bytes=len(reply), most=LARGEST)
    raise TooLarge(f"the reply has {len(reply)} bytes, a message at most {LARGEST}: ask for less at once")
