"""Durable commands: taken from the stream COMMANDS, carried out by the service's handlers, answered by an outcome event."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import msgspec
from nats.aio.msg import Msg

from shared.bus import trace
from shared.bus.client import Bus
from shared.bus.pull import Pull, delivery
from shared.contracts import headers as h
from shared.contracts import subjects
from shared.contracts.errors import HeadraceError, Invalid
from shared.contracts.events import CommandDone, CommandRejected
from shared.contracts.topology import COMMANDS
from shared.runtime.log import log
from shared.service.context import Context
from shared.service.middleware.identity import of_command
from shared.service.middleware.poison import guard

AT_ONCE: Final = 16
"""Commands that one process works on at a time: one that takes long, or is tried again, holds up no others."""

Handle = Callable[[str, Context, bytes], Awaitable[bytes]]
"""Carries out what `<noun>.<verb>` says, and returns the reply's body."""


class Commands:
    """The commands of one service. `names`: those that it has, as `<noun>.<verb>`; `running`: those under way."""

    def __init__(self, bus: Bus, service: str, handle: Handle) -> None:
        self._bus, self._service, self._handle = bus, service, handle
        self.names: set[str] = set()
        self.running: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore()
        self._pull: Pull | None = None

    async def start(self) -> None:
        """Begins to take commands, if the service has any."""
        if self.names:
            self._room = asyncio.Semaphore(AT_ONCE)
            self._pull = Pull(self._bus, COMMANDS.name, f"commands-{self._service}", batch=64, renew=True)
            await self._pull.start()
            self._spawn(self._take(self._pull))

    async def stop_taking(self) -> None:
        """What is under way goes on."""
        if self._pull is not None:
            await self._pull.stop()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    async def _take(self, pull: Pull) -> None:
        """Side by side, so in no order: who needs one waits for the outcome. What has no room stays with the pull."""
        while True:
            await self._room.acquire()
            taken = await pull.take(1)
            if not taken:
                return
            self._spawn(self._guarded(pull, taken[0]))

    async def _guarded(self, pull: Pull, message: Msg) -> None:
        try:
            await guard(
                *(self._bus, pull, message, COMMANDS.name),
                lambda: self._carry_out(message),
                lambda error: self._emit_outcome(message, error),
            )
        finally:
            self._room.release()

    async def _carry_out(self, message: Msg) -> None:
        """Every command ends with an outcome. One that fails in an unexpected way is tried again first (`guard`)."""
        name = ".".join(message.subject.split(".")[4:])
        outcome: bytes | HeadraceError
        try:
            ctx = of_command(message.subject, message.headers, self._place(message))
            if name not in self.names:
                raise Invalid(f"{self._service} has no command {name!r}", field="subject")
            outcome = await self._handle(name, ctx, message.data)
        except HeadraceError as error:
            if error.retryable:
                raise
            outcome = error
        await self._emit_outcome(message, outcome)

    def _place(self, message: Msg) -> str:
        """A command's place in the stream, and which stream that is."""
        return f"{self._bus.incarnations.get(COMMANDS.name, '')}:{delivery(message)[1]}"

    async def _emit_outcome(self, message: Msg, outcome: bytes | HeadraceError) -> None:
        """What a command was answered, or why it is refused. Repeats are dropped by the bus."""
        traced = trace.accept((message.headers or {}).get(h.TRACE))
        headers = {"Nats-Msg-Id": f"command:{self._place(message)}", h.TRACE: traced}
        event: CommandDone | CommandRejected
        if isinstance(outcome, HeadraceError):
            verdict, event = "rejected", CommandRejected(message.subject, outcome.body(trace.trace_id(traced)))
        else:
            verdict, event = "done", CommandDone(message.subject, msgspec.Raw(outcome))
        await self._bus.publish(subjects.event("command", verdict, delivery(message)[1]), event, headers=headers)
        log.info("command.handled", subject=message.subject, verdict=verdict)
