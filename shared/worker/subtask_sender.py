"""Sends the subtasks and results that a task's code has created to the scheduler; they take effect when the task completes."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from shared.bus.client import Bus
from shared.contracts.endpoints.work import TASK_SPAWN
from shared.contracts.errors import BY_CODE, HeadraceError
from shared.contracts.topology import MESSAGE_LIMIT
from shared.contracts.work import Output, Work
from shared.objects.inline import keep
from shared.objects.port import Objects
from shared.runtime.retry import Backoff, retry
from shared.worker.subtasks import Creations

STORES = 8
"""Values stored at once for one task."""
TRIES = 6
PART_TIMEOUT = 30.0
"""Seconds that one part may take."""
PART_SIZE = MESSAGE_LIMIT - 1024
RETRYABLE = tuple(kind for kind in BY_CODE.values() if kind.retryable)
_TASK_INDEX = re.compile(r"^tasks\[(-?\d+)\]")


async def send_subtasks(bus: Bus, objects: Objects, session: UUID, work: Work, creations: Creations) -> UUID:
    """Stores the values of the results, and sends everything part by part. Returns the id of the submission, for the report.

    The text of a HeadraceError begins with the place, `subtasks[7].inputs[0]`, in the order in which they were submitted.
    """
    gate = asyncio.Semaphore(STORES)

    async def store(id: UUID, name: str, value: bytes | None) -> bytes:
        fields: dict[str, Any] = {"id": id, "name": name}
        if value is not None:
            async with gate:
                fields |= _value(await keep(objects, session, id, value))
        return msgspec.json.encode(fields)

    results = await asyncio.gather(*(store(*one) for one in creations.results))
    first = 0
    parts = list(parts_of(results, creations.tasks))
    for number, (results_part, tasks) in enumerate(parts):
        part = {
            "task": work.id,
            "attempt": work.attempt,
            "submission": creations.submission,
            "number": number,
            "first": first,
        }
        part |= {"last": number == len(parts) - 1, "results": results_part, "tasks": tasks}
        await _send(bus, msgspec.json.encode(part), first)
        first += len(tasks)
    return creations.submission


def parts_of(
    results: Sequence[bytes], tasks: Sequence[bytes], size: int = PART_SIZE
) -> Iterable[tuple[list[msgspec.Raw], list[msgspec.Raw]]]:
    """Parts that fit in a message each: results first, for tasks name them. At least one part."""
    part: tuple[list[msgspec.Raw], list[msgspec.Raw]] = ([], [])
    left = size
    for kind, items in enumerate((results, tasks)):
        for item in items:
            if left < len(item) + 1 and left < size:
                yield part
                part, left = ([], []), size
            part[kind].append(msgspec.Raw(item))
            left -= len(item) + 1
    yield part


async def _send(bus: Bus, data: bytes, first: int) -> None:
    try:
        backoff = Backoff(first=0.1, ceiling=2)
        await retry(
            lambda: bus.request(TASK_SPAWN.subject, data, TASK_SPAWN.reply, timeout=PART_TIMEOUT),
            on=RETRYABLE,
            backoff=backoff,
            attempts=TRIES,
        )
    except RETRYABLE:
        raise
    except HeadraceError as error:
        raise with_place(error, first) from None


def with_place(error: HeadraceError, first: int) -> HeadraceError:
    """The error, its message beginning with the place as the task's code counts it."""
    where = _TASK_INDEX.sub(lambda found: f"subtasks[{int(found[1]) + first}]", error.field)
    return type(error)(f"{where}: {error.message}" if where else error.message, field=where)


def _value(output: Output) -> dict[str, Any]:
    if output.data is not None:
        return {"data": output.data}
    return {"object": output.object, "size": output.size, "sha256": output.sha256}
