"""What a dispatcher chooses, round by round: the real one over modelled tables and workers, in a time that the test sets."""

import asyncio
from collections import Counter, deque
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import pytest

from services.scheduler.dispatch.bundles import Durations
from services.scheduler.dispatch.credit import Credit
from services.scheduler.dispatch.dispatcher import Dispatcher
from services.scheduler.dispatch.due import Due
from services.scheduler.dispatch.functions import Functions
from services.scheduler.dispatch.gossip import Gossip
from services.scheduler.dispatch.pace import Pace
from services.scheduler.dispatch.partition import Partition
from services.scheduler.dispatch.placement import Placement
from services.scheduler.dispatch.port import DispatchPort
from services.scheduler.dispatch.registry import Registry
from shared.contracts.work import Beat
from shared.service.unit import Unit
from tests.support.wait import wait_until

SESSION, SUBMISSION = UUID(int=1), UUID(int=2 << 33)
STEP = 0.1
"""Seconds of the modelled time."""


class Now:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


class Tables:
    """The rows of one submission: a lane of tasks with these functions, `ready` and `unplaced`. Counts the calls.

    Stands for `ReadyTasks` and `UnplacedTasks`.
    """

    def __init__(self, functions: Sequence[str], *, one: str | None = None) -> None:
        self.functions, self.one = functions, one
        self.attempts = [0] * len(functions)
        self.cursor, self.ready, self.unplaced = 0, deque[int](), dict[int, str]()
        self.asked: Counter[str] = Counter()
        self.looks: Counter[int] = Counter()
        self.broken = ""

    def _ask(self, name: str) -> None:
        self.asked[name] += 1
        if name == self.broken:
            raise OSError("the database is away")

    async def lanes(self, number: int, limit: int, placeable: Collection[str] | None) -> list[Any]:
        self._ask("lanes")
        self.looks[number] += 1
        passed = placeable is not None and self.one is not None and self.one not in placeable
        if passed or self.cursor == len(self.functions):
            return []
        lane = {
            "session": SESSION,
            "submission": SUBMISSION,
            "priority": 1,
            "owner": "ann",
            "trace": "",
            "applications": False,
        }
        return [{**lane, "cursor": self.cursor, "upto": len(self.functions)}]

    async def released(self, number: int, limit: int) -> list[Any]:
        self._ask("released")
        return [{"priority": 1, "session": SESSION, "owner": "ann"}] if self.ready else []

    async def take_lane(self, number: int, lane: Any, count: int) -> list[Any]:
        self._ask("take_lane")
        lines = range(self.cursor, min(self.cursor + count, len(self.functions)))
        self.cursor = lines.stop
        return [self._row(line) for line in lines]

    async def take_released(self, number: int, priority: int, session: UUID, count: int) -> list[Any]:
        self._ask("take_released")
        return [self._row(self.ready.popleft()) for _ in range(min(count, len(self.ready)))]

    async def waiting(self, number: int, offered: Collection[str], limit: int) -> list[Any]:
        self._ask("waiting")
        counts = Counter(name for name in self.unplaced.values() if name in offered)
        return [{"function": name, "tasks": min(n, limit)} for name, n in counts.items()]

    async def place(self, number: int, function: str, count: int) -> None:
        self._ask("place")
        lines = sorted(line for line, name in self.unplaced.items() if name == function)[:count]
        for line in lines:
            del self.unplaced[line]
        self.ready.extend(lines)

    async def set_aside(self, tasks: Sequence[UUID], attempts: Sequence[int]) -> list[Any]:
        self._ask("set_aside")
        lines = [task.int - SUBMISSION.int for task in tasks]
        for line in lines:
            self.attempts[line] += 1
            self.unplaced[line] = self.functions[line]
        return [{"id": task, "partition": 1} for task in tasks]

    def _row(self, line: int) -> dict[str, Any]:
        task = UUID(int=SUBMISSION.int + line)
        return {"id": task, "attempt": self.attempts[line], "function": self.functions[line], "partition": 1}


class Workers:
    """Of one partition, and its queue: each worker holds twice its slots, runs what it has, gives back what it has not."""

    def __init__(self, now: Now, **functions: Sequence[str]) -> None:
        self.now, self.functions = now, functions
        self.queue = deque[dict[str, Any]]()
        self.held: dict[str, list[tuple[float, dict[str, Any]]]] = {name: [] for name in functions}
        self.done: Counter[UUID] = Counter()
        self.durations = Durations()

    def remember(self, *_: Any) -> None: ...

    async def publish(self, partition: str, rows: Sequence[Any], *_: Any) -> None:
        self.queue.extend(rows)

    def beats(self) -> list[Beat]:
        return [
            Beat(name, "p", 4, list(names), [(row["id"], row["attempt"]) for _, row in self.held[name]])
            for name, names in self.functions.items()
        ]

    async def work(self, made: "Dispatch", tables: Tables, seconds: float) -> None:
        """Ends what has run for `seconds`, and takes from the queue in turn."""
        for held in self.held.values():
            for entry in [entry for entry in held[:4] if self.now() - entry[0] >= seconds]:
                held.remove(entry)
                self.done[entry[1]["id"]] += 1
                await made.port.count_ended({1: 1}, [(1, entry[1]["function"], seconds)])
        back = []
        while self.queue and any(len(held) < 8 for held in self.held.values()):
            for name, held in self.held.items():
                if self.queue and len(held) < 8:
                    row = self.queue.popleft()
                    if row["function"] in self.functions[name]:
                        held.append((self.now(), row))
                    else:
                        back.append(row)
        if back:
            unit, nothing = Unit(StoredAside(tables)), [""] * len(back)
            tasks, attempts = [row["id"] for row in back], [row["attempt"] for row in back]
            await made.port.set_aside(unit, tasks, attempts, nothing, nothing)
            for effect in unit.after:
                await effect()


class StoredAside:
    """A connection on which attempts are set aside, and nothing else is done."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def fetch(self, query: str, tasks: Sequence[UUID], attempts: Sequence[int], *_: Any) -> list[Any]:
        return await self._tables.set_aside(tasks, attempts)


class Dispatch:
    """The dispatcher over modelled tables and workers, with one partition."""

    def __init__(self, tables: Tables, workers: Workers) -> None:
        parts: Any = tables, workers, None
        stored, queue, bus = parts
        self.registry, self.due = Registry(bus, stored), Due()
        self.partition = self.add(Partition(1, "p"))
        self.partition.functions, self.partition.pace = Functions(workers.now), Pace(workers.now)
        gossip = Gossip(bus, self.registry, self.due)
        credit = Credit(self.registry, self.due, gossip)
        self.dispatcher = Dispatcher(self.registry, self.due, stored, Placement(stored), queue)
        self.port = DispatchPort(self.registry, gossip, credit, queue, self.dispatcher)
        self.hear(workers)

    def add(self, partition: Partition) -> Partition:
        partition.dispatched_here = True
        return self.registry.add(partition)

    def hear(self, workers: Workers) -> None:
        for beat in workers.beats():
            self.partition.record_beat(beat, 0.0)


async def run(made: Dispatch, tables: Tables, workers: Workers, *, steps: int, seconds: float = 1.0) -> None:
    """One look in each step, as `Dispatcher.run` does it when nobody wakes it."""
    for _ in range(steps):
        workers.now.time += STEP
        made.hear(workers)
        await made.dispatcher.dispatch(made.partition)
        await workers.work(made, tables, seconds)


@pytest.mark.parametrize("one", ["f", None], ids=["a lane of it", "a lane of several"])
@pytest.mark.parametrize("waiting", [0, 60], ids=["chosen first", "set aside already"])
async def test_what_one_of_two_workers_has_is_all_run_once_however_much_waits(one: str | None, waiting: int) -> None:
    tables = Tables(["f"] * 60, one=one)
    workers = Workers(Now(), a=["f", "g"], b=["g"])
    made = Dispatch(tables, workers)
    if waiting:
        tables.cursor, tables.unplaced = 60, dict.fromkeys(range(60), "f")
    await run(made, tables, workers, steps=350)
    assert sorted(workers.done.values()) == [1] * 60


def test_what_nobody_here_can_place_is_not_looked_at_more_often() -> None:
    workers = Workers(Now(), a=["f"])
    partition = Dispatch(Tables([]), workers).partition
    assert not partition.places_soon
    partition.functions.has_unplaced = True
    assert partition.places_soon
    partition.dispatched_here = False
    assert not partition.places_soon, "another process dispatches it"
    partition.dispatched_here = True
    partition.remove_worker("a")
    assert not partition.places_soon, "its last worker is gone"


async def test_only_where_something_is_set_aside_is_looked_at_more_often() -> None:
    tables = Tables([])
    made = Dispatch(tables, Workers(Now(), a=["f"]))
    for number in (2, 3):
        made.add(Partition(number, f"p{number}"))
    made.partition.functions.has_unplaced = True
    keep: Any = made.partition.functions
    keep.check_due = lambda: False  # what is set aside stays as it is
    running = asyncio.create_task(made.dispatcher.run())
    await wait_until(lambda: tables.looks[3] > 0 and max(tables.looks.values()) >= 9)
    running.cancel()
    assert tables.looks[1] > tables.looks[2] == tables.looks[3] > 0


async def test_the_queue_is_not_rebuilt_because_what_was_set_aside_could_not_be_looked_at() -> None:
    tables = Tables(["g"] * 8, one="g")
    workers = Workers(Now(), a=["f", "g"], b=["g"])
    made = Dispatch(tables, workers)
    tables.unplaced, tables.broken = {100: "f"}, "waiting"
    await run(made, tables, workers, steps=20)
    assert made.partition.dispatched_here
    assert len(workers.done) == 8


async def test_a_lane_of_several_functions_that_nobody_has_is_set_aside_a_little_at_a_time() -> None:
    tables = Tables(["typo"] * 1000)
    workers = Workers(Now(), a=["f"])
    made = Dispatch(tables, workers)
    await run(made, tables, workers, steps=1)
    assert tables.asked["take_lane"] == 1
    assert made.due.take() == set(), "it is not looked at again at once"
    assert len(tables.unplaced) == made.partition.credit
    assert made.partition.places_soon, "the rest soon"
