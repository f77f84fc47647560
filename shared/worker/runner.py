"""Runs one task: its inputs fetched, its function called, its outputs stored, all of it concurrently where that helps."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec

from shared.bus.client import Bus
from shared.contracts.compute import Value
from shared.contracts.endpoints.work import TASK_INPUTS
from shared.contracts.errors import HeadraceError
from shared.contracts.work import EXEC, InputsOf, Output, Work
from shared.objects.inline import fetch, fits, inline, keep, keep_stream
from shared.objects.port import Objects
from shared.runtime.plain import plain
from shared.service.ask import ask
from shared.worker.child_protocol import Call
from shared.worker.children import AttemptLost, Children
from shared.worker.commands import Commands
from shared.worker.coroutine import run_code
from shared.worker.error_text import MOST, TaskError, describe, trace
from shared.worker.functions import App, Function, Task, encode_outputs
from shared.worker.held_tasks import HeldTask
from shared.worker.json_values import MOST_ITEMS, TooManyItems
from shared.worker.shortage import ResourceShortage, shortage
from shared.worker.subtask_sender import send_subtasks
from shared.worker.subtasks import Creations

FETCHES = 8
"""Objects fetched at once for one task."""
MEMORY = 256 * 1024 * 1024
"""Most bytes of inputs that a task may be handed in memory, and of outputs that it may return."""

INLINE = 256 * 1024
"""Most bytes of values that travel in one report."""


class TaskFailure(Exception):
    """A task did not complete. `kind` as in Failed: `error`, `timeout`, `lost` or `returned`; its text is cut and printable."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(plain(message[:MOST]))
        self.kind = kind


class ShortageFailure(TaskFailure):
    """The worker had run out of something. `probe` tries whether it has it again (see Health); None if that cannot be tried."""

    def __init__(self, message: str, probe: Callable[[], Awaitable[None]] | None = None) -> None:
        super().__init__("returned", message)
        self.probe = probe


class Outcome(msgspec.Struct, frozen=True):
    """A task whose code returned: its outputs, and the submission of the subtasks that it created, as in `Completed`."""

    outputs: list[Output]
    submission: UUID | None = None


class Runner:
    """Runs tasks, one call of `run` each. `commands` runs those of the function `exec`; None: this worker has no `exec`."""

    def __init__(
        self, bus: Bus, objects: Objects, app: App, children: Children, commands: Commands | None = None
    ) -> None:
        self._bus, self._objects, self._functions, self._children = bus, objects, app.functions, children
        self._commands = commands

    @property
    def functions(self) -> list[str]:
        """The names of the functions that can run here, sorted; `exec` among them if commands can run."""
        return sorted([*self._functions, *([EXEC] if self._commands is not None else [])])

    async def run(self, held: HeldTask, progress: Callable[[float, str], None]) -> Outcome:
        """Runs the code of a task, and stores its outputs. TaskFailure if it does not complete, whatever its code has raised."""
        try:
            work, session = held.work, held.delivery.session
            if work.function == EXEC and self._commands is not None:
                return Outcome(await self._command(self._commands, held))
            function = self._functions.get(work.function)
            if function is None:
                raise TaskFailure("returned", f"this worker has no function {work.function!r}")
            payload = bytes(work.payload) if work.payload_value is None else await self._payload(work.payload_value)
            inputs, ids = ([], []) if work.inputs == [] else await self._inputs(work)
            if function.blocking:
                values, created = await self._call(held, progress, payload, inputs, ids)
            else:
                task = Task(
                    work.id,
                    work.attempt,
                    payload,
                    inputs,
                    len(work.outputs),
                    progress,
                    input_ids=ids,
                    expected=work.outputs,
                    application=work.application,
                )
                values, created = await _run(held, function, task)
            if held.stop_report is not None:  # its code returned in spite of it
                raise TaskFailure(held.stop_report.kind, held.stop_report.message)
            if created is None:
                return Outcome(await self._store(session, work.outputs, values))
            outputs = await self._store(session, [one for one in work.outputs if one not in created.delegated], values)
            return Outcome(outputs, await send_subtasks(self._bus, self._objects, session, work, created))
        except AttemptLost as error:
            raise TaskFailure("lost", str(error)) from None
        except ResourceShortage as error:
            raise ShortageFailure(str(error), error.probe) from None
        except (HeadraceError, OSError, RuntimeError) as error:
            if missing := shortage(error):
                raise ShortageFailure(missing) from None
            if not isinstance(error, HeadraceError):
                raise
            # Storage or bus: not the task's own doing, unless it cannot get better.
            raise TaskFailure("lost" if error.retryable else "error", f"{type(error).__name__}: {error}") from None

    async def _call(
        self,
        held: HeldTask,
        progress: Callable[[float, str], None],
        payload: bytes,
        inputs: list[bytes],
        ids: list[UUID],
    ) -> tuple[list[bytes], Creations | None]:
        """Runs a blocking function in a child process: its values, and what it created."""
        work = held.work
        assert held.log_buffer is not None
        call = Call(
            *(work.function, work.id, work.attempt, payload, inputs, len(work.outputs), ids, work.outputs),
            work.application,
        )
        try:
            returned = await self._children.run(call, progress, held.log_buffer)
        except TaskError as error:
            raise TaskFailure("error", str(error)) from None
        return returned.outputs, returned.creations

    async def _store(self, session: UUID, names: list[UUID], values: list[bytes]) -> list[Output]:
        """The values as outputs: inline where they are small, stored as objects otherwise."""
        if len(values) == 1:
            (value,) = values
            if len(value) > MEMORY:
                raise TaskFailure("error", f"its return value has more than {MEMORY} bytes")
            kept = inline(names[0], value) if fits(len(value)) else await keep(self._objects, session, names[0], value)
            return [kept]
        if sum(map(len, values)) > MEMORY:
            raise TaskFailure("error", f"its return values have more than {MEMORY} bytes together")
        stores, room = [], INLINE
        for name, value in zip(names, values, strict=True):
            room -= len(value) if fits(len(value)) else 0
            # Together they have to fit in a message: what does not is stored as an object, small as it is.
            store = keep if room >= 0 or not value else keep_stream
            stores.append(store(self._objects, session, name, value))
        return list(await asyncio.gather(*stores))

    async def _command(self, commands: Commands, held: HeldTask) -> list[Output]:
        work = held.work
        payload = bytes(work.payload) if work.payload_value is None else await self._payload(work.payload_value)
        values = await self._input_values(work)
        assert held.log_buffer is not None
        try:
            return await commands.run(payload, values, held.delivery.session, work.outputs, held.log_buffer, INLINE)
        except TaskError as error:
            raise TaskFailure("error", str(error)) from None

    async def _payload(self, value: Value) -> bytes:
        if value.size > MEMORY:
            raise TaskFailure("error", f"its payload has more than {MEMORY} bytes")
        return await fetch(self._objects, value)

    async def _input_values(self, work: Work) -> list[Value]:
        return work.inputs if work.inputs is not None else await self._ask_inputs(work.id)

    async def _inputs(self, work: Work) -> tuple[list[bytes], list[UUID]]:
        """The inputs' values, and their ids."""
        values = await self._input_values(work)
        if sum(value.size for value in values) > MEMORY:
            raise TaskFailure("error", f"its inputs have more than {MEMORY} bytes together")
        ids = [value.id for value in values]
        if all(value.data is not None for value in values):
            return [value.data for value in values if value.data is not None], ids
        gate = asyncio.Semaphore(FETCHES)

        async def fetch_one(value: Value) -> bytes:
            async with gate:
                return await fetch(self._objects, value)

        return list(await asyncio.gather(*(fetch_one(value) for value in values))), ids

    async def _ask_inputs(self, task: UUID) -> list[Value]:
        """The values of inputs that were not in the message, asked of the scheduler page by page."""
        values: list[Value] = []
        start: int | None = 0
        while start is not None:
            page = await ask(self._bus, TASK_INPUTS, InputsOf(task, start))
            values += page.values
            start = page.more
        return values


async def _run(held: HeldTask, function: Function, task: Task) -> tuple[list[bytes], Creations | None]:
    """Runs a coroutine function: its values, and what it created. TaskFailure for whatever it raises."""
    try:
        coroutine: Any = function.call(task)
        value = await run_code(held, coroutine if hasattr(coroutine, "send") else _await(coroutine))
        created, task.creations = task.creations, None  # what its threads add from here on comes too late
        left = task.expected if created is None else [one for one in task.expected if one not in created.delegated]
        try:
            return encode_outputs(value, len(left), function.name, MOST_ITEMS), created
        except TooManyItems:
            return await asyncio.to_thread(encode_outputs, value, len(left), function.name), created
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: they are for this task, not for the worker
        if held.stop_report is None and held.log_buffer is not None and (text := trace(error)):
            held.log_buffer.write(text.encode())
        raise TaskFailure("error", describe(error)) from None


async def _await(value: Awaitable[Any]) -> Any:
    return await value
