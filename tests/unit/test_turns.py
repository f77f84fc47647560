"""What a dispatcher chooses, round by round: the real one over modelled tables and workers, in a time that the test sets."""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from services.scheduler import store
from services.scheduler.dispatch.pace import Pace
from services.scheduler.dispatch.partition import Partition
from services.scheduler.dispatch.placement import Functions
from services.scheduler.dispatch.turns import Turns
from shared.contracts.work import Beat
from shared.service.unit import Unit

SESSION, SUBMISSION = UUID(int=1), UUID(int=2 << 33)
NAMES = {query.text: query.name for query in store.Q}
STEP = 0.1
"""Seconds of the modelled time."""


class Now:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


class Tables:
    """The rows of one submission: a lane of tasks with these functions, `ready` and `unplaced`. Counts the statements."""

    def __init__(self, functions: Sequence[str], *, one: str | None = None) -> None:
        self.functions, self.one = functions, one
        self.attempts = [0] * len(functions)
        self.cursor, self.ready, self.unplaced = 0, deque[int](), dict[int, str]()
        self.asked: Counter[str] = Counter()
        self.broken = ""

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        name = NAMES[query]
        self.asked[name] += 1
        if name == self.broken:
            raise OSError("the database is away")
        found: list[Any] = getattr(self, name)(*args)
        return found

    execute = fetch

    def waiting_lanes(self, number: int, most: int, placed: list[str] | None) -> list[Any]:
        passed = placed is not None and self.one is not None and self.one not in placed
        if passed or self.cursor == len(self.functions):
            return []
        lane = {"session": SESSION, "submission": SUBMISSION, "priority": 1, "trace": "", "applications": False}
        return [{**lane, "cursor": self.cursor, "upto": len(self.functions)}]

    def waiting_ready(self, number: int, most: int) -> list[Any]:
        return [{"priority": 1, "session": SESSION}] if self.ready else []

    def take_lane(
        self, submission: UUID, number: int, priority: int, first: UUID, end: UUID, n: int, session: UUID
    ) -> Any:
        lines = range(self.cursor, min(self.cursor + n, len(self.functions)))
        self.cursor = lines.stop
        return [self._row(line) for line in lines]

    def take_ready(self, number: int, priority: int, session: UUID, n: int) -> Any:
        return [self._row(self.ready.popleft()) for _ in range(min(n, len(self.ready)))]

    def placeable(self, number: int, offered: list[str], most: int) -> Any:
        counts = Counter(name for name in self.unplaced.values() if name in offered)
        return [{"function": name, "tasks": min(n, most)} for name, n in counts.items()]

    def place(self, number: int, function: str, n: int) -> Any:
        lines = sorted(line for line, name in self.unplaced.items() if name == function)[:n]
        for line in lines:
            del self.unplaced[line]
        self.ready.extend(lines)
        return []

    def set_aside(self, tasks: list[UUID], attempts: list[int], *_: Any) -> Any:
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

    def remember(self, *_: Any) -> None: ...

    def took(self, *_: Any) -> None: ...

    async def publish(self, partition: str, rows: Sequence[Any], *_: Any) -> None:
        self.queue.extend(rows)

    def beats(self) -> list[Beat]:
        return [
            Beat(name, "p", 4, list(names), [(row["id"], row["attempt"]) for _, row in self.held[name]])
            for name, names in self.functions.items()
        ]

    async def work(self, turns: Turns, tables: Tables, seconds: float) -> None:
        """Ends what has run for `seconds`, and takes from the queue in turn."""
        for held in self.held.values():
            for entry in [entry for entry in held[:4] if self.now() - entry[0] >= seconds]:
                held.remove(entry)
                self.done[entry[1]["id"]] += 1
                await turns.ended({1: 1}, [(1, entry[1]["function"], seconds)])
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
            unit, nothing = Unit(tables), [""] * len(back)
            await turns.set_aside(unit, [row["id"] for row in back], [row["attempt"] for row in back], nothing, nothing)
            for effect in unit.after:
                await effect()


def dispatcher(tables: Any, workers: Workers) -> tuple[Turns, Partition]:
    turns: Any = Turns(None, tables, workers)  # type: ignore[arg-type]
    partition = turns._partitions[1] = Partition(1, "p")
    partition.functions, partition.pace = Functions(workers.now), Pace(workers.now)
    partition.ready = True
    for beat in workers.beats():
        partition.hear(beat, 0.0)
    return turns, partition


async def run(
    turns: Any, partition: Partition, tables: Tables, workers: Workers, *, steps: int, seconds: float = 1.0
) -> None:
    """One look in each step, as `Turns.run` does it when nobody wakes it."""
    for _ in range(steps):
        workers.now.time += STEP
        for beat in workers.beats():
            partition.hear(beat, 0.0)
        while partition.credit > 0 and await turns._round(partition):
            pass
        await workers.work(turns, tables, seconds)


@pytest.mark.parametrize("one", ["f", None], ids=["a lane of it", "a lane of several"])
@pytest.mark.parametrize("waiting", [0, 60], ids=["chosen first", "set aside already"])
async def test_what_one_of_two_workers_has_is_all_run_once_however_much_waits(one: str | None, waiting: int) -> None:
    tables = Tables(["f"] * 60, one=one)
    workers = Workers(Now(), a=["f", "g"], b=["g"])
    turns, partition = dispatcher(tables, workers)
    if waiting:
        tables.cursor, tables.unplaced = 60, dict.fromkeys(range(60), "f")
    await run(turns, partition, tables, workers, steps=350)
    assert sorted(workers.done.values()) == [1] * 60


def test_what_nobody_here_can_place_is_not_looked_at_more_often() -> None:
    workers = Workers(Now(), a=["f"])
    _, partition = dispatcher(Tables([]), workers)
    assert not partition.hurried
    partition.functions.waiting = True
    assert partition.hurried
    partition.ready = False
    assert not partition.hurried, "another process dispatches it"
    partition.ready = True
    partition.forget("a")
    assert not partition.hurried, "its last worker is gone"


async def test_only_where_something_is_set_aside_is_looked_at_more_often() -> None:
    turns, first = dispatcher(Tables([]), Workers(Now(), a=["f"]))
    for number in (2, 3):
        turns._partitions[number] = Partition(number, f"p{number}")
        turns._partitions[number].ready = True
    first.functions.waiting = True
    looks = await _looks(turns, 9)
    assert looks[1] > looks[2] == looks[3] > 0


async def _looks(turns: Any, least: int) -> Counter[int]:
    """How often each partition is looked at, until one of them was so often; what waits stays as it is."""
    seen, enough = Counter[int](), asyncio.Event()

    async def look(partition: Partition) -> int:
        seen[partition.number] += 1
        if seen[3] and max(seen.values()) >= least:
            enough.set()
        return 0

    turns._round = look
    running = asyncio.create_task(turns.run())
    await asyncio.wait_for(enough.wait(), 30)
    running.cancel()
    return seen


async def test_the_queue_is_not_rebuilt_because_what_was_set_aside_could_not_be_looked_at() -> None:
    tables = Tables(["g"] * 8, one="g")
    workers = Workers(Now(), a=["f", "g"], b=["g"])
    turns, partition = dispatcher(tables, workers)
    tables.unplaced, tables.broken = {100: "f"}, "placeable"
    await run(turns, partition, tables, workers, steps=20)
    assert partition.ready
    assert len(workers.done) == 8


async def test_a_lane_of_several_functions_that_nobody_has_is_set_aside_a_little_at_a_time() -> None:
    tables = Tables(["typo"] * 1000)
    workers = Workers(Now(), a=["f"])
    turns, partition = dispatcher(tables, workers)
    again: Any = turns
    again._look = lambda numbers: pytest.fail("it is looked at again at once")
    await run(turns, partition, tables, workers, steps=1)
    assert tables.asked["take_lane"] == 1
    assert len(tables.unplaced) == partition.credit
    assert partition.hurried, "the rest soon"
