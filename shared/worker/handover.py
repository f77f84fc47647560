"""What a task's code has created, handed over to the scheduler: it becomes real when the task completes."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from shared.bus.client import Bus
from shared.contracts import subjects
from shared.contracts.errors import BY_CODE, HeadraceError
from shared.contracts.topology import MESSAGE_LIMIT
from shared.contracts.work import Output, Spawned, Work
from shared.objects.inline import keep
from shared.objects.port import Objects
from shared.runtime.retry import Backoff, retry
from shared.worker.subtasks import Made

STORES = 8
"""Values stored at once for one task."""
TRIES = 6
PATIENCE = 30.0
"""Seconds that one part may take."""
ROOM = MESSAGE_LIMIT - 1024
AGAIN = tuple(kind for kind in BY_CODE.values() if kind.retryable)
_PLACE = re.compile(r"^tasks\[(-?\d+)\]")


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
