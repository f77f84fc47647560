"""What a task's code creates while it runs: collected here, handed over when it has returned, real when the task completes."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from shared.bus.client import Bus
from shared.contracts import ids, subjects
from shared.contracts.compute import Options, TaskSpec
from shared.contracts.errors import BY_CODE, HeadraceError
from shared.contracts.topology import MESSAGE_LIMIT
from shared.contracts.work import Output, Spawned, Work
from shared.objects.inline import keep
from shared.objects.port import Objects
from shared.runtime.retry import Backoff, retry

STORES = 8
"""Values stored at once for one task."""
TRIES = 6
PATIENCE = 30.0
"""Seconds that one part may take."""
ROOM = MESSAGE_LIMIT - 1024
AGAIN = tuple(kind for kind in BY_CODE.values() if kind.retryable)
_PLACE = re.compile(r"^tasks\[(-?\d+)\]")


class Subtask(msgspec.Struct, frozen=True):
    """A task that was submitted: its id, and the ids of the results that it will produce."""

    id: UUID
    outputs: list[UUID]

    @property
    def output(self) -> UUID:
        """Its only output."""
        if len(self.outputs) != 1:
            raise ValueError(f"the subtask has {len(self.outputs)} outputs: say which")
        return self.outputs[0]


Needed = UUID | Subtask
"""A result that a subtask needs: by its id, or as the only output of another subtask."""


class Made(msgspec.Struct):
    """What one run of a task's code has created.

    tasks       TaskSpecs as JSON
    results     id, name, and the value unless it comes later
    delegated   ids that subtasks have as outputs: no value of the task's own is expected for these
    """

    submission: UUID
    tasks: list[bytes] = []
    results: list[tuple[UUID, str, bytes | None]] = []
    delegated: set[UUID] = set()

    def submit(
        self,
        function: str | None,
        payload: Any,
        inputs: Iterable[Needed],
        outputs: int | Sequence[UUID],
        payload_result: Needed | None,
        options: dict[str, Any],
    ) -> Subtask:
        line = len(self.tasks)
        spec = TaskSpec(
            msgspec.Raw(msgspec.json.encode(payload)),
            None if payload_result is None else _name(payload_result),
            [_name(one) for one in inputs],
            outputs if isinstance(outputs, int) else list(outputs),
            Options(function=function, **options),
        )
        self.tasks.append(msgspec.json.encode(spec))
        if isinstance(outputs, int):
            named = [ids.result_id(self.submission, line, k) for k in range(outputs)]
        else:
            named = list(outputs)
            self.delegated.update(named)
        return Subtask(ids.task_id(self.submission, line), named)


def _name(needed: Needed) -> str:
    return str(needed.output if isinstance(needed, Subtask) else needed)


async def hand_over(bus: Bus, objects: Objects, session: UUID, work: Work, made: Made) -> UUID:
    """Stores the values, sends all of it part by part. Returns the submission to name in the report.

    A HeadraceError says where: `subtasks[7].inputs[0]`, counted as they were submitted.
    """
    gate = asyncio.Semaphore(STORES)

    async def store(id: UUID, name: str, value: bytes | None) -> bytes:
        fields: dict[str, Any] = {"id": id, "name": name}
        if value is not None:
            async with gate:
                fields |= _value(await keep(objects, session, id, value))
        return msgspec.json.encode(fields)

    results = await asyncio.gather(*(store(*one) for one in made.results))
    first = 0
    parts = list(cut(results, made.tasks))
    for number, (some, tasks) in enumerate(parts):
        part = {
            "task": work.id,
            "attempt": work.attempt,
            "submission": made.submission,
            "number": number,
            "first": first,
        }
        part |= {"last": number == len(parts) - 1, "results": some, "tasks": tasks}
        await _send(bus, msgspec.json.encode(part), first)
        first += len(tasks)
    return made.submission


def cut(
    results: Sequence[bytes], tasks: Sequence[bytes], room: int = ROOM
) -> Iterable[tuple[list[msgspec.Raw], list[msgspec.Raw]]]:
    """Parts that fit in a message each: results first, for tasks name them. At least one part."""
    part: tuple[list[msgspec.Raw], list[msgspec.Raw]] = ([], [])
    left = room
    for kind, items in enumerate((results, tasks)):
        for item in items:
            if left < len(item) + 1 and left < room:
                yield part
                part, left = ([], []), room
            part[kind].append(msgspec.Raw(item))
            left -= len(item) + 1
    yield part


async def _send(bus: Bus, data: bytes, first: int) -> None:
    subject = subjects.rpc("scheduler", "task", "spawn")

    try:
        backoff = Backoff(first=0.1, ceiling=2)
        await retry(
            lambda: bus.request(subject, data, Spawned, timeout=PATIENCE), on=AGAIN, backoff=backoff, attempts=TRIES
        )
    except AGAIN:
        raise
    except HeadraceError as error:
        raise placed(error, first) from None


def placed(error: HeadraceError, first: int) -> HeadraceError:
    """The error, its message beginning with the place as the task's code counts it."""
    where = _PLACE.sub(lambda found: f"subtasks[{int(found[1]) + first}]", error.field)
    return type(error)(f"{where}: {error.message}" if where else error.message, field=where)


def _value(output: Output) -> dict[str, Any]:
    if output.data is not None:
        return {"data": output.data}
    return {"object": output.object, "size": output.size, "sha256": output.sha256}
