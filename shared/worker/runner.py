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
from shared.worker import streams
from shared.worker.child import Call, describe
from shared.worker.children import Children, Lost
from shared.worker.commands import Commands
from shared.worker.functions import App, Task, TaskError, encode_outputs
from shared.worker.handover import hand_over
from shared.worker.printed import Printed

FETCHES = 8
"""Objects fetched at once for one task."""
MEMORY = 256 * 1024 * 1024
"""Most bytes of inputs that a task may be handed in memory."""

INLINE = 256 * 1024
"""Most bytes of values that travel in one report."""


class Trouble(Exception):
    """Why a task did not complete. `kind` as in Failed: `error`, `timeout`, `lost` or `returned`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message[:4000])
        self.kind = kind


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

    async def run(self, work: Work, session: UUID, progress: Callable[[float, str], None], printed: Printed) -> Outcome:
        """What is to be reported; Trouble otherwise. `printed` takes what the function prints."""
        try:
            if work.max_duration:
                async with asyncio.timeout(work.max_duration):
                    return await self._run(work, session, progress, printed)
            return await self._run(work, session, progress, printed)
        except TimeoutError:
            if not work.max_duration:
                raise Trouble("error", "TimeoutError") from None
            raise Trouble("timeout", f"it took longer than {work.max_duration:g} s") from None
        except Lost as error:
            raise Trouble("lost", str(error)) from None
        except HeadraceError as error:  # storage or bus: not the task's own doing, unless it cannot get better
            raise Trouble("lost" if error.retryable else "error", f"{type(error).__name__}: {error}") from None

    async def _run(
        self, work: Work, session: UUID, progress: Callable[[float, str], None], printed: Printed
    ) -> Outcome:
        if work.function == EXEC and self._commands is not None:
            return Outcome(await self._command(self._commands, work, session, printed))
        function = self._functions.get(work.function)
        if function is None:
            raise Trouble("returned", f"this worker has no function {work.function!r}")
        payload = bytes(work.payload) if work.payload_value is None else await self._payload(work.payload_value)
        inputs, named = ([], []) if work.inputs == [] else await self._inputs(work)
        count = len(work.outputs)
        try:
            if function.blocking:
                call = Call(
                    work.function, work.id, work.attempt, payload, inputs, count, named, work.outputs, work.application
                )
                returned = await self._children.run(call, progress, printed)
                values, made = returned.outputs, returned.made
            else:
                task = Task(
                    work.id,
                    work.attempt,
                    payload,
                    inputs,
                    count,
                    progress,
                    input_ids=named,
                    expected=work.outputs,
                    application=work.application,
                )
                value: Any = await _awaited(function.call(task), printed)
                made = task.made
                values = encode_outputs(value, count if made is None else len(task.undelegated))
        except (TaskError, Lost) as error:
            if isinstance(error, Lost):
                raise
            raise Trouble("error", str(error)) from None
        except Exception as error:
            raise Trouble("error", describe(error)) from None
        if made is None:
            return Outcome(await self._keep(session, work.outputs, values))
        outputs = await self._keep(session, [one for one in work.outputs if one not in made.delegated], values)
        return Outcome(outputs, await hand_over(self._bus, self._objects, session, work, made))

    async def _keep(self, session: UUID, names: list[UUID], values: list[bytes]) -> list[Output]:
        """The values, stored where they are large."""
        if len(values) == 1:
            (value,) = values
            kept = inline(names[0], value) if fits(len(value)) else await keep(self._objects, session, names[0], value)
            return [kept]
        stores, room = [], INLINE
        for name, value in zip(names, values, strict=True):
            room -= len(value) if fits(len(value)) else 0
            # Together they have to fit in a message: what does not is stored as an object, small as it is.
            store = keep if room >= 0 or not value else keep_stream
            stores.append(store(self._objects, session, name, value))
        return list(await asyncio.gather(*stores))

    async def _command(self, commands: Commands, work: Work, session: UUID, printed: Printed) -> list[Output]:
        payload = bytes(work.payload) if work.payload_value is None else await self._payload(work.payload_value)
        values = await self._values(work)
        try:
            return await commands.run(payload, values, session, work.outputs, printed, INLINE)
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


async def _awaited(value: Awaitable[Any], printed: Printed) -> Any:
    token = streams.current.set(printed)
    try:
        return await value
    finally:
        streams.current.reset(token)
