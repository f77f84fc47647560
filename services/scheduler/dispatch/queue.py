"""The queue: chosen tasks are published to TASKS, with what they need to run."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from services.scheduler.dispatch.bundles import Durations, bundles, family
from services.scheduler.machine import MACHINES
from shared.bus.client import Bus
from shared.contracts import ids, subjects
from shared.contracts.compute import Application, Value
from shared.contracts.topology import MESSAGE_LIMIT
from shared.contracts.work import TaskBatch, Work
from shared.db.sql import Db, Row, load

Q = load(__file__, "queue.sql", MACHINES)

RIDE = 64 * 1024
"""Bytes of a task's inputs that ride along in its message; and `INPUTS` inputs at most. The worker asks for others."""
INPUTS = 200
REMEMBERED = 10_000
"""Submissions of which something is remembered."""

_application = msgspec.json.Decoder(Application).decode


class Queue:
    """The publishing side of TASKS. `durations`: how long the functions' tasks take."""

    def __init__(self, bus: Bus, pool: "asyncpg.Pool[Any]") -> None:
        self._bus, self._pool = bus, pool
        self.durations = Durations()
        self._traces: dict[int, str] = {}
        self._with_application: set[int] = set()  # submissions some of whose tasks name an application

    def remember(self, submission: UUID, trace: str, applications: bool) -> None:
        """The `traceparent` that a submission came with, which its tasks carry on; and whether any of them names an application."""
        if len(self._traces) > REMEMBERED:
            self._traces.clear()
            self._with_application.clear()
        self._traces[family(submission)] = trace
        if applications:
            self._with_application.add(family(submission))

    async def publish(self, partition: str, rows: Sequence[Row], workers: int, values: Mapping[UUID, Value]) -> None:
        """Sends tasks, in their order, in bundles that leave each of the `workers` some. `values`: results at hand, by id."""
        found = await self._values(rows, values)
        await self._remember_submissions(rows)
        applications = await self._applications(rows) if self._with_application else {}
        for bundle in bundles(rows, workers, self.durations):
            first = bundle[0]
            subject = subjects.task(partition, band(first["priority"]), first["session"])
            trace = self._traces.get(family(first["id"]), "")
            headers = {"traceparent": trace} if trace else None
            tasks = [_work(row, found, applications) for row in bundle]
            for message in _messages(first["session"], first["epoch"], tasks):
                await self._bus.send(subject, message, headers)

    async def _remember_submissions(self, rows: Sequence[Row]) -> None:
        """Looks up what is not remembered, until all of it is at one moment: too much of it, and everything is forgotten."""
        while unknown := {ids.submission_of(row["id"]) for row in rows if family(row["id"]) not in self._traces}:
            found = {row["id"]: row for row in await submissions(self._pool, list(unknown))}
            for submission in unknown:
                row = found.get(submission)  # none: its session has been deleted
                self.remember(submission, row["trace"] if row else "", bool(row and row["applications"]))

    async def _applications(self, rows: Sequence[Row]) -> dict[UUID, Application]:
        """Looked up only for submissions that have any: the statements that release tasks do not carry them."""
        named = [row["id"] for row in rows if family(row["id"]) in self._with_application]
        return await applications(self._pool, named) if named else {}

    async def _values(self, rows: Sequence[Row], known: Mapping[UUID, Value]) -> Mapping[UUID, Value]:
        """The values that ride along: those at hand, and the others looked up."""
        needed: set[UUID] = set()
        for row in rows:
            if row["inputs"] and len(row["inputs"]) <= INPUTS:
                needed.update(row["inputs"])
            if row["payload_result"] is not None:
                needed.add(row["payload_result"])
        found = {result: known[result] for result in needed if result in known}
        missing = needed - found.keys()
        return {**found, **await values(self._pool, list(missing))} if missing else found


async def submissions(db: Db, named: list[UUID]) -> list[Row]:
    """For each of these submissions `id`, `trace` (the `traceparent` that each came with) and `applications` (whether tasks name any)."""
    return await Q.submissions.fetch(db, submissions=named)


async def applications(db: Db, tasks: list[UUID]) -> dict[UUID, Application]:
    """The applications of those of the tasks that name one."""
    rows = await Q.applications.fetch(db, tasks=tasks)
    return {row["id"]: _application(row["application"]) for row in rows}


async def values(db: Db, results: list[UUID]) -> dict[UUID, Value]:
    """The values of those of the results that are complete."""
    rows = await Q.values.fetch(db, results=results)
    return {row["id"]: Value(row["id"], row["size"], row["data"], row["object"]) for row in rows}


def band(priority: int) -> int:
    """The priority band of a subject: 0 for priority 99, 9 for 1."""
    return 9 - min(9, priority // 10)


def _work(row: Row, values: Mapping[UUID, Value], applications: Mapping[UUID, Application]) -> Work:
    inputs: list[Value] | None = []
    if row["inputs"]:
        found = [values[result] for result in row["inputs"] if result in values]
        rides = len(found) == len(row["inputs"]) and sum(len(value.data or b"") for value in found) <= RIDE
        inputs = found if rides else None
    payload_value = values.get(row["payload_result"])
    return Work(
        row["id"],
        row["function"],
        row["outputs"],
        row["attempt"],
        msgspec.Raw(row["payload"] if row["payload"] is not None else b"null"),
        payload_value,
        inputs,
        row["max_duration"],
        applications.get(row["id"]),
    )


def _messages(session: UUID, epoch: int, tasks: list[Work]) -> Iterable[bytes]:
    """The encoded messages: halved until each is small enough."""
    data = msgspec.json.encode(TaskBatch(session, epoch, tasks))
    if len(data) <= MESSAGE_LIMIT or len(tasks) == 1:
        yield data
        return
    half = len(tasks) // 2
    yield from _messages(session, epoch, tasks[:half])
    yield from _messages(session, epoch, tasks[half:])
