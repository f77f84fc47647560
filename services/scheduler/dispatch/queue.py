"""Puts chosen tasks into the queue: one message for many small ones, with what they need to run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from services.scheduler import store
from shared.bus.client import Bus
from shared.contracts import ids, subjects
from shared.contracts.compute import Application, Value
from shared.contracts.topology import MESSAGE_LIMIT
from shared.contracts.work import TaskBatch, Work

Q = store.Q
BUNDLE = 50
"""Most tasks in one message."""
BUNDLE_SECONDS = 0.05
"""Most work in one message: what one worker takes, no other can."""
SPLIT_SECONDS = 0.001
"""Work that is not shared out among workers: a second message, and what follows from it, costs more than that."""
RIDE = 64 * 1024
"""Inputs of a task that ride along, in bytes; and `INPUTS` of them at most. Others the worker asks for."""
INPUTS = 200
REMEMBERED = 10_000

_application = msgspec.json.Decoder(Application).decode


class Queue:
    """The publishing side of TASKS."""

    def __init__(self, bus: Bus, pool: "asyncpg.Pool[Any]") -> None:
        self._bus, self._pool = bus, pool
        self._seconds: dict[str, float] = {}
        self._traces: dict[int, str] = {}
        self._named: set[int] = set()  # submissions some of whose tasks name an application

    def took(self, function: str, seconds: float) -> None:
        """A function's task took so long."""
        known = self._seconds.get(function)
        self._seconds[function] = seconds if known is None else known + 0.2 * (seconds - known)

    def remember(self, submission: UUID, trace: str, applications: bool) -> None:
        """The trace that a submission came with: its tasks carry it on. And whether any of them names an application."""
        if len(self._traces) > REMEMBERED:
            self._traces.clear()
            self._named.clear()
        self._traces[_family(submission)] = trace
        if applications:
            self._named.add(_family(submission))

    async def publish(self, partition: str, rows: Sequence[Any], workers: int, known: Mapping[UUID, Value]) -> None:
        """Sends tasks, most urgent first as they come, in bundles that leave every worker some."""
        values = await self._values(rows, known)
        await self._learn(rows)
        applications = await self._applications(rows) if self._named else {}
        for part in bundles(rows, workers, self._seconds):
            tasks = [_work(row, values, applications) for row in part]
            session = part[0]["session"]
            epoch = part[0]["epoch"]
            subject = subjects.task(partition, band(part[0]["priority"]), session)
            trace = self._traces.get(_family(part[0]["id"]), "")
            headers = {"traceparent": trace} if trace else None
            for batch in _fit(session, epoch, tasks):
                await self._bus.send(subject, batch, headers)

    async def _learn(self, rows: Sequence[Any]) -> None:
        """Until all of them are known at one moment: what is remembered is forgotten when it becomes too much."""
        while unknown := {ids.submission_of(row["id"]) for row in rows if _family(row["id"]) not in self._traces}:
            found = {row["id"]: row for row in await self._pool.fetch(Q["submission_traces"], list(unknown))}
            for submission in unknown:
                row = found.get(submission)  # none: its session has been deleted
                self.remember(submission, row["trace"] if row else "", bool(row and row["applications"]))

    async def _applications(self, rows: Sequence[Any]) -> dict[UUID, Application]:
        """Looked up only for submissions that have any: the statements that release tasks do not carry them."""
        named = [row["id"] for row in rows if _family(row["id"]) in self._named]
        found = await self._pool.fetch(Q["applications"], named) if named else []
        return {row["id"]: _application(row["application"]) for row in found}

    async def _values(self, rows: Sequence[Any], known: Mapping[UUID, Value]) -> Mapping[UUID, Value]:
        """The inputs that ride along: those at hand, and the others looked up."""
        wanted: set[UUID] = set()
        for row in rows:
            if row["inputs"] and len(row["inputs"]) <= INPUTS:
                wanted.update(row["inputs"])
            if row["payload_result"] is not None:
                wanted.add(row["payload_result"])
        found = {result: known[result] for result in wanted if result in known}
        missing = wanted - found.keys()
        return {**found, **await store.values(self._pool, missing)} if missing else found


def bundles(rows: Sequence[Any], workers: int, known: Mapping[str, float]) -> Iterator[list[Any]]:
    """Runs of rows of one submission and priority, each short enough. `known`: seconds that a function's task takes."""
    even = max(1, len(rows) // (2 * workers))
    part: list[Any] = []
    key: tuple[int, int] | None = None
    room = 0.0
    for row in rows:
        its = (_family(row["id"]), row["priority"])
        seconds = known.get(row["function"], BUNDLE_SECONDS)
        shared = len(part) >= even and BUNDLE_SECONDS - room >= SPLIT_SECONDS
        if part and (its != key or shared or len(part) >= BUNDLE or room < seconds):
            yield part
            part = []
        if not part:
            key, room = its, BUNDLE_SECONDS
        part.append(row)
        room -= seconds
    if part:
        yield part


def _family(task: UUID) -> int:
    """What the tasks of a submission have in common, cheaper than its id."""
    return task.int >> 33


def band(priority: int) -> int:
    """The priority band of a subject: 0 for 99, 9 for 1."""
    return 9 - min(9, priority // 10)


def _work(row: Any, values: Mapping[UUID, Value], applications: Mapping[UUID, Application]) -> Work:
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


def _fit(session: UUID, epoch: int, tasks: list[Work]) -> Iterable[bytes]:
    """The encoded messages: halved until each is small enough."""
    data = msgspec.json.encode(TaskBatch(session, epoch, tasks))
    if len(data) <= MESSAGE_LIMIT or len(tasks) == 1:
        yield data
        return
    half = len(tasks) // 2
    yield from _fit(session, epoch, tasks[:half])
    yield from _fit(session, epoch, tasks[half:])
