"""A service on the bus: typed endpoints, reachable by request-reply and, where they change something, as durable commands.

`nats micro ls` shows them; `nats request hr.rpc.scheduler.session.list '{}'` asks one. An error is answered with NATS's
service-error headers and an ErrorBody as the data.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from nats.aio.msg import Msg
from nats.micro import ServiceConfig, add_service
from nats.micro.request import Request
from nats.micro.service import EndpointConfig

from shared.bus import trace
from shared.bus.client import Bus
from shared.bus.publish import LARGEST
from shared.bus.pull import Pull, delivery
from shared.contracts import headers as h
from shared.contracts import subjects
from shared.contracts.errors import HeadraceError, Internal, Invalid, TooLarge
from shared.contracts.events import CommandDone, CommandRejected
from shared.contracts.topology import COMMANDS
from shared.runtime.log import log
from shared.service.context import Context, Handler, of_command, of_request
from shared.service.middleware import wrap
from shared.service.middleware.database import database
from shared.service.middleware.logging import logging
from shared.service.middleware.poison import guard
from shared.service.middleware.timeout import timeout
from shared.service.middleware.tracing import tracing
from shared.service.texts import check_texts
from shared.service.unit import Unit, Units

Read = Callable[[Context, Any], Awaitable[Any]]
Write = Callable[[Unit, Context, Any], Awaitable[Any]]


class At(msgspec.Struct, frozen=True):
    """Where an endpoint is, if not on `hr.rpc.<service>.<noun>.<verb>`. `group`: who shares the requests, if not the service."""

    subject: str
    group: str = ""


CONCURRENT = 64
"""Requests that one process works on at a time; more wait at the server's side of the subscription."""
COMMANDS_AT_ONCE = 16
"""Durable commands that one process works on at a time: one that takes long, or is tried again, holds up no others."""


class Stats:
    """What nats.micro cannot count for handlers that run side by side."""

    def __init__(self) -> None:
        self.requests = self.errors = 0
        self.seconds = 0.0

    def as_dict(self) -> dict[str, float]:
        return {"requests": self.requests, "errors": self.errors, "seconds": round(self.seconds, 6)}


MALFORMED = (msgspec.MsgspecError, ValueError, RecursionError)
"""What msgspec raises for bytes that are not what was asked for: also text that is not UTF-8, and JSON nested too deeply."""

NAMED = re.compile(r"(?:unknown|required) field `([^`]*)`")
"""What msgspec says of a field beside the path to where it is, or should be."""


def invalid(error: Exception) -> Invalid:
    """What msgspec found (one of `MALFORMED`), with the field that it names."""
    if isinstance(error, RecursionError):
        return Invalid("nested too deeply")
    if not isinstance(error, msgspec.MsgspecError):
        return Invalid(f"not UTF-8: {error}" if isinstance(error, UnicodeError) else f"malformed: {error}")
    text, _, path = str(error).partition(" - at `")
    field = path.rstrip("`").removeprefix("$").removeprefix(".")
    if named := NAMED.search(text):
        field = f"{field}.{named[1]}".lstrip(".")
    return Invalid(text, field=field)


class Service:
    """The endpoints of one service. Declare them with `reads` and `writes`, then `start`.

    `metadata`: what this process says of itself to `$SRV.PING`.
    """

    def __init__(self, bus: Bus, units: Units | None, name: str, version: str, description: str) -> None:
        self._bus, self._units = bus, units
        self.name, self.version, self.description = name, version, description
        self.metadata: dict[str, str] = {}
        self._handlers: dict[str, Handler] = {}
        self._places: dict[str, At] = {}
        self._commands: set[str] = set()
        self._stats: dict[str, Stats] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(CONCURRENT)
        self._rooms: dict[str, asyncio.Semaphore] = {}
        self._command_room = asyncio.Semaphore(COMMANDS_AT_ONCE)
        self._micro: Any = None
        self._pull: Pull | None = None

    def reads(
        self,
        noun: str,
        verb: str,
        request: Any,
        handler: Read,
        *,
        seconds: float = 10,
        at: At | None = None,
        at_once: int | None = None,
    ) -> None:
        """A query, or what commits by itself. `request`: its Struct, or `bytes` for a body that the handler reads itself.

        `at_once`: so many may run side by side, apart from the others: for what mostly waits, and would keep them out.
        """
        decode = _decoder(request)

        async def call(ctx: Context, data: bytes) -> bytes:
            return msgspec.json.encode(await handler(ctx, decode(data)))

        self._add(noun, verb, call, seconds, at)
        if at_once is not None:
            self._rooms[f"{noun}.{verb}"] = asyncio.Semaphore(at_once)

    def writes(
        self,
        noun: str,
        verb: str,
        request: Any,
        handler: Write,
        *,
        seconds: float = 30,
        durable: bool = True,
        before: Read | None = None,
    ) -> None:
        """A change: runs in a unit of work, once per idempotency key, and (if `durable`) as a command too.

        `before` looks at what is outside of the database, while no transaction waits for it; what it returns is handed to
        the handler in place of the request. It also runs for a repeat.
        """
        decode, units = _decoder(request), self._units
        assert units is not None

        async def call(ctx: Context, data: bytes) -> bytes:
            asked = decode(data)
            if before is not None:
                asked = await before(ctx, asked)

            async def work(unit: Unit) -> bytes:
                return msgspec.json.encode(await handler(unit, ctx, asked))

            return await units.once(ctx, data, work)

        self._add(noun, verb, call, seconds)
        if durable:
            self._commands.add(f"{noun}.{verb}")

    def _add(self, noun: str, verb: str, call: Handler, seconds: float, at: At | None = None) -> None:
        key = f"{noun}.{verb}"
        self._places[key] = at or At(subjects.rpc(self.name, noun, verb))
        self._handlers[key] = wrap(call, [tracing, logging, timeout(seconds), database])
        self._stats[key] = Stats()

    async def start(self) -> None:
        """Announces the endpoints and begins to take commands."""

        def stats(endpoint: Any) -> dict[str, float]:
            """Puts our counts where `nats micro stats` looks."""
            ours = self._stats[endpoint.name.replace("-", ".")]
            endpoint.num_requests, endpoint.num_errors = ours.requests, ours.errors
            endpoint.processing_time = int(ours.seconds * 1e9)
            endpoint.average_processing_time = int(ours.seconds * 1e9 / max(1, ours.requests))
            return ours.as_dict()

        config = ServiceConfig(
            name=self.name,
            version=self.version,
            description=self.description,
            metadata=self.metadata,
            queue_group=self.name,
            stats_handler=stats,
        )
        self._micro = await add_service(self._bus.nc, config)
        for key in self._handlers:
            noun, verb = key.split(".")
            await self._micro.add_endpoint(
                EndpointConfig(
                    name=f"{noun}-{verb}",
                    subject=self._places[key].subject,
                    handler=self._taker(key),
                    queue_group=self._places[key].group or self.name,
                    metadata={"durable": "yes" if key in self._commands else "no"},
                )
            )
        if self._commands:
            self._pull = Pull(self._bus, COMMANDS.name, f"commands-{self.name}", batch=64, kept=True)
            await self._pull.start()
            self._spawn(self._take_commands(self._pull))

    async def stop(self) -> None:
        """Takes nothing new and lets what runs finish."""
        if self._pull is not None:
            await self._pull.stop()
        if self._micro is not None:
            await self._micro.stop()
        if self._running:
            await asyncio.wait(self._running, timeout=10)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    # -- request-reply

    def _room_of(self, key: str) -> asyncio.Semaphore:
        return self._rooms.get(key, self._room)

    def _taker(self, key: str) -> Callable[[Request], Awaitable[None]]:
        async def take(request: Request) -> None:
            if not subjects.is_reply(request._msg.reply):
                log.warning("request.ignored", subject=request.subject, reply=request._msg.reply)
                return
            # nats.micro awaits one request of an endpoint after the other; ours run side by side.
            await self._room_of(key).acquire()
            self._spawn(self._answer(key, request))

        return take

    async def _answer(self, key: str, request: Request) -> None:
        stats, began = self._stats[key], time.perf_counter()
        traced, logged = "", False
        try:
            ctx = of_request(request.subject, request.headers)
            traced, logged = ctx.trace, True  # the middleware logs what goes wrong in the handler
            reply = await self._handlers[key](ctx, request.data)
            logged = False
            await request.respond(self._fits(ctx, reply))
        except Exception as error:
            stats.errors += 1
            named = trace.trace_id(traced)
            told = error if isinstance(error, HeadraceError) else Internal()
            if told is not error and not logged:
                log.error("reply.failed", subject=request.subject, trace=named, error=repr(error), exc_info=error)
            body = msgspec.json.encode(told.body(named))
            await request.respond_error(str(told.status), " ".join(told.message.split())[:200], body)
        finally:
            self._room_of(key).release()
            stats.requests += 1
            stats.seconds += time.perf_counter() - began

    def _fits(self, ctx: Context, reply: bytes) -> bytes:
        """The reply; TooLarge, with a line in the log, if the bus would not carry it."""
        if len(reply) <= LARGEST:
            return reply
        named = trace.trace_id(ctx.trace)
        log.error("reply.too_large", subject=ctx.subject, user=ctx.user, trace=named, bytes=len(reply), most=LARGEST)
        raise TooLarge(f"the reply has {len(reply)} bytes, a message at most {LARGEST}: ask for less at once")

    # -- commands

    async def _take_commands(self, pull: Pull) -> None:
        """Side by side, so in no order: who needs one waits for the outcome. What has no room stays with the pull."""
        while True:
            await self._command_room.acquire()
            taken = await pull.take(1)
            if not taken:
                return
            self._spawn(self._guarded(pull, taken[0]))

    async def _guarded(self, pull: Pull, message: Msg) -> None:
        try:
            await guard(
                *(self._bus, pull, message, COMMANDS.name),
                lambda: self._command(message),
                lambda error: self._emit_outcome(message, error),
            )
        finally:
            self._command_room.release()

    async def _command(self, message: Msg) -> None:
        """Every command ends with an outcome. One that fails in an unexpected way is tried again first (`guard`)."""
        key = ".".join(message.subject.split(".")[4:])
        outcome: bytes | HeadraceError
        try:
            ctx = of_command(message.subject, message.headers, self._command_name(message))
            if key not in self._commands:
                raise Invalid(f"{self.name} has no command {key!r}", field="subject")
            outcome = await self._handlers[key](ctx, message.data)
        except HeadraceError as error:
            if error.retryable:
                raise
            outcome = error
        await self._emit_outcome(message, outcome)

    def _command_name(self, message: Msg) -> str:
        """A command's place in the stream, and which stream that is."""
        return f"{self._bus.incarnations.get(COMMANDS.name, '')}:{delivery(message)[1]}"

    async def _emit_outcome(self, message: Msg, outcome: bytes | HeadraceError) -> None:
        """What a command was answered, or why it is refused. Repeats are dropped by the bus."""
        traced = trace.accept((message.headers or {}).get(h.TRACE))
        headers = {"Nats-Msg-Id": f"command:{self._command_name(message)}", h.TRACE: traced}
        event: CommandDone | CommandRejected
        if isinstance(outcome, HeadraceError):
            verdict, event = "rejected", CommandRejected(message.subject, outcome.body(trace.trace_id(traced)))
        else:
            verdict, event = "done", CommandDone(message.subject, msgspec.Raw(outcome))
        await self._bus.publish(subjects.event("command", verdict, delivery(message)[1]), event, headers=headers)
        log.info("command.handled", subject=message.subject, verdict=verdict)


def _decoder(request: Any) -> Callable[[bytes], Any]:
    if request is bytes:
        return lambda data: data
    decode = msgspec.json.Decoder(request).decode

    def typed(data: bytes) -> Any:
        try:
            found = decode(data or b"{}")
        except MALFORMED as error:
            raise invalid(error) from None
        check_texts(found, data)
        return found

    return typed
