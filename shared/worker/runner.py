"""Runs one task: its inputs fetched, its function called, its outputs stored, all of it concurrently where that helps."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec

from shared.bus.client import Bus
from shared.contracts import subjects
from shared.contracts.compute import Value
from shared.contracts.errors import HeadraceError
from shared.contracts.work import EXEC, Inputs, InputsOf, Output, Work
from shared.objects.inline import fetch, fits, inline, keep, keep_stream
from shared.objects.port import Objects
from shared.runtime.plain import plain
from shared.worker.children import Children, Lost
from shared.worker.commands import Commands
from shared.worker.coroutine import run_code
from shared.worker.describe import MOST, TaskError, describe, trace
from shared.worker.frames import Call
from shared.worker.functions import App, Function, Task, encode_outputs
from shared.worker.handover import hand_over
from shared.worker.holding import Held
from shared.worker.shortage import Unwell, shortage
from shared.worker.subtasks import Made
from shared.worker.values import SHORT, Long

FETCHES = 8
"""Objects fetched at once for one task."""
MEMORY = 256 * 1024 * 1024
"""Most bytes of inputs that a task may be handed in memory, and of outputs that it may return."""

INLINE = 256 * 1024
"""Most bytes of values that travel in one report."""


class Trouble(Exception):
    """Why a task did not complete. `kind` as in Failed: `error`, `timeout`, `lost` or `returned`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(plain(message[:MOST]))
        self.kind = kind


class Shortage(Trouble):
    """The worker had run out of something. `probe`: tries what did not go (see Health); None if that cannot be tried."""

    def __init__(self, message: str, probe: Callable[[], Awaitable[None]] | None = None) -> None:
        super().__init__("returned", message)
        self.probe = probe


class Outcome(msgspec.Struct, frozen=True):
    """Of a task whose code returned: its outputs, and the submission of what it created, as `Completed` names them."""

    outputs: list[Output]
    submission: UUID | None = None


class Runner:
    """`commands`: where the tasks of `exec` run; None: here they do not."""

    def __init__(
        self, bus: Bus, objects: Objects, app: App, children: Children, commands: Commands | None = None
    ) -> None:
        self._bus, self._objects, self._functions, self._children = bus, objects, app.functions, children
        self._commands = commands

    @property
    def functions(self) -> list[str]:
        """The names of what can run here."""
        return sorted([*self._functions, *([EXEC] if self._commands is not None else [])])

    async def run(self, held: Held, progress: Callable[[float, str], None]) -> Outcome:
        """What is to be reported; Trouble otherwise, whatever the task's code has raised."""
        try:
            work, session = held.work, held.parcel.session
            if work.function == EXEC and self._commands is not None:
                return Outcome(await self._command(self._commands, held))
            function = self._functions.get(work.function)
            if function is None:
                raise Trouble("returned", f"this worker has no function {work.function!r}")
            payload = bytes(work.payload) if work.payload_value is None else await self._payload(work.payload_value)
            inputs, named = ([], []) if work.inputs == [] else await self._inputs(work)
            if function.blocking:
                values, made = await self._call(held, progress, payload, inputs, named)
            else:
                task = Task(
                    work.id,
                    work.attempt,
                    payload,
                    inputs,
                    len(work.outputs),
                    progress,
                    input_ids=named,
                    expected=work.outputs,
                    application=work.application,
                )
                values, made = await _run(held, function, task)
            if held.stopping is not None:  # its code returned in spite of it
                raise Trouble(held.stopping.kind, held.stopping.message)
            if made is None:
                return Outcome(await self._keep(session, work.outputs, values))
            outputs = await self._keep(session, [one for one in work.outputs if one not in made.delegated], values)
            return Outcome(outputs, await hand_over(self._bus, self._objects, session, work, made))
        except Lost as error:
            raise Trouble("lost", str(error)) from None
        except Unwell as error:
            raise Shortage(str(error), error.probe) from None
        except (HeadraceError, OSError, RuntimeError) as error:
            if why := shortage(error):
                raise Shortage(why) from None
            if not isinstance(error, HeadraceError):
                raise
            # Storage or bus: not the task's own doing, unless it cannot get better.
            raise Trouble("lost" if error.retryable else "error", f"{type(error).__name__}: {error}") from None

    async def _call(
        self,
        held: Held,
        progress: Callable[[float, str], None],
        payload: bytes,
        inputs: list[bytes],
        named: list[UUID],
    ) -> tuple[list[bytes], Made | None]:
        """A blocking function's values, and what it created."""
        work = held.work
        assert held.printed is not None
        call = Call(
            *(work.function, work.id, work.attempt, payload, inputs, len(work.outputs), named, work.outputs),
            work.application,
        )
        try:
            returned = await self._children.run(call, progress, held.printed)
        except TaskError as error:
            raise Trouble("error", str(error)) from None
        return returned.outputs, returned.made

    async def _keep(self, session: UUID, names: list[UUID], values: list[bytes]) -> list[Output]:
        """The values, stored where they are large."""
        if len(values) == 1:
            (value,) = values
            if len(value) > MEMORY:
                raise Trouble("error", f"its return value has more than {MEMORY} bytes")
            kept = inline(names[0], value) if fits(len(value)) else await keep(self._objects, session, names[0], value)
            return [kept]
        if sum(map(len, values)) > MEMORY:
            raise Trouble("error", f"its return values have more than {MEMORY} bytes together")
        stores, room = [], INLINE
        for name, value in zip(names, values, strict=True):
            room -= len(value) if fits(len(value)) else 0
            # Together they have to fit in a message: what does not is stored as an object, small as it is.
            store = keep if room >= 0 or not value else keep_stream
            stores.append(store(self._objects, session, name, value))
        return list(await asyncio.gather(*stores))

    async def _command(self, commands: Commands, held: Held) -> list[Output]:
        work = held.work
        payload = bytes(work.payload) if work.payload_value is None else await self._payload(work.payload_value)
        values = await self._values(work)
        assert held.printed is not None
        try:
            return await commands.run(payload, values, held.parcel.session, work.outputs, held.printed, INLINE)
        except TaskError as error:
            raise Trouble("error", str(error)) from None

    async def _payload(self, value: Value) -> bytes:
        if value.size > MEMORY:
            raise Trouble("error", f"its payload has more than {MEMORY} bytes")
        return await fetch(self._objects, value)

    async def _values(self, work: Work) -> list[Value]:
        return work.inputs if work.inputs is not None else await self._ask(work.id)

    async def _inputs(self, work: Work) -> tuple[list[bytes], list[UUID]]:
        """The inputs' values, and their ids."""
        values = await self._values(work)
        if sum(value.size for value in values) > MEMORY:
            raise Trouble("error", f"its inputs have more than {MEMORY} bytes together")
        named = [value.id for value in values]
        if all(value.data is not None for value in values):
            return [value.data for value in values if value.data is not None], named
        gate = asyncio.Semaphore(FETCHES)

        async def one(value: Value) -> bytes:
            async with gate:
                return await fetch(self._objects, value)

        return list(await asyncio.gather(*(one(value) for value in values))), named

    async def _ask(self, task: UUID) -> list[Value]:
        """The inputs that did not ride along, page by page."""
        values: list[Value] = []
        start: int | None = 0
        while start is not None:
            page = await self._bus.request(subjects.rpc("scheduler", "task", "inputs"), InputsOf(task, start), Inputs)
            values += page.values
            start = page.more
        return values


async def _run(held: Held, function: Function, task: Task) -> tuple[list[bytes], Made | None]:
    """A coroutine function's values, and what it created. Trouble for whatever it raises."""
    try:
        coroutine: Any = function.call(task)
        value = await run_code(held, coroutine if hasattr(coroutine, "send") else _awaited(coroutine))
        made, task.made = task.made, None  # what its threads add from here on comes too late
        left = task.expected if made is None else [one for one in task.expected if one not in made.delegated]
        try:
            return encode_outputs(value, len(left), function.name, SHORT), made
        except Long:
            return await asyncio.to_thread(encode_outputs, value, len(left), function.name), made
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: they are for this task, not for the worker
        if held.stopping is None and held.printed is not None and (text := trace(error)):
            held.printed.write(text.encode())
        raise Trouble("error", describe(error)) from None


async def _awaited(value: Awaitable[Any]) -> Any:
    return await value
