"""How many more tasks a partition may have outstanding: who is given credit, and who gives it back to whom."""

from typing import Any

import msgspec
import pytest

from services.scheduler.dispatch.credit import Credit
from services.scheduler.dispatch.due import Due
from services.scheduler.dispatch.gossip import COUNTS, ENDED, WOKEN, Gossip
from services.scheduler.dispatch.partition import Partition
from services.scheduler.dispatch.registry import Registry
from shared.service.unit import Unit


class Wire:
    """The bus between two schedulers: what one publishes, the other gets, and the list keeps."""

    def __init__(self) -> None:
        self.published: list[tuple[str, Any]] = []
        self.handlers: dict[str, Any] = {}
        self.nc = self

    async def subscribe(self, subject: str, cb: Any) -> None:
        self.handlers[subject.removesuffix(".*")] = cb

    async def publish_core(self, subject: str, message: Any) -> None:
        data = message if isinstance(message, bytes) else msgspec.json.encode(message)
        self.published.append((subject, data))
        for prefix, handler in self.handlers.items():
            if subject.startswith(prefix):
                await handler(Message(subject, data))


class Message:
    def __init__(self, subject: str, data: bytes) -> None:
        self.subject, self.data = subject, data


class Scheduler:
    """The counting parts of one process, with these partitions. `here`: numbers of those that it dispatches."""

    def __init__(self, wire: Any, *partitions: Partition, here: set[int]) -> None:
        nothing: Any = None
        self.registry, self.due = Registry(nothing, nothing), Due()
        for partition in partitions:
            partition.dispatched_here = partition.number in here
            self.registry.add(partition)
        self.registry.limited = frozenset(p.number for p in partitions if p.max is not None)
        self.gossip = Gossip(wire, self.registry, self.due)
        self.credit = Credit(self.registry, self.due, self.gossip)


def free(number: int = 1) -> int:
    """The credit of a partition without anything outstanding."""
    return Partition(number, "p").window


def test_only_partitions_that_are_dispatched_here_and_have_no_max_give_credit_to_statements() -> None:
    mine, full, limited, other = (Partition(n, f"p{n}", max=9 if n == 3 else None) for n in range(1, 5))
    made = Scheduler(Wire(), mine, full, limited, other, here={1, 2, 3})
    full.outstanding = full.window
    mine.outstanding = 3
    assert made.credit.columns() == ([1], [free() - 3])
    assert limited.credit > 0


async def test_credit_is_held_until_the_unit_is_over_and_for_all_or_for_none() -> None:
    first, second = Partition(1, "a"), Partition(2, "b")
    made = Scheduler(Wire(), first, second, here={1, 2})
    unit = Unit(None)
    assert made.credit.hold(unit, {1: 2, 2: 3})
    assert (first.credit, second.credit) == (free() - 2, free() - 3)
    assert not made.credit.hold(Unit(None), {1: 1, 2: free()}), "there is not enough in the second"
    assert not made.credit.hold(Unit(None), {1: 1, 9: 1}), "nobody here knows the other"
    assert first.held == 2
    for effects in (unit.after, unit.undone):
        assert len(effects) == 1
    await unit.after[0]()
    assert (first.credit, second.credit) == (free(), free())


@pytest.mark.parametrize("why", ["tasks wait", "it has a max", "another process dispatches it"])
def test_credit_is_not_held_where_it_would_overtake_others(why: str) -> None:
    partition = Partition(1, "p", max=100 if why == "it has a max" else None)
    made = Scheduler(Wire(), partition, here=set() if why.startswith("another") else {1})
    partition.window_full = why == "tasks wait"
    assert not made.credit.hold(Unit(None), {1: 1})


async def test_who_ends_tasks_wakes_the_dispatcher_only_where_tasks_wait() -> None:
    partition = Partition(1, "p")
    made = Scheduler(Wire(), partition, here={1})
    partition.record_chosen(5)
    await made.credit.give_back({1: 2})
    assert (partition.outstanding, made.due.take()) == (3, set())
    partition.window_full = True
    await made.credit.give_back({1: 9})
    assert (partition.outstanding, made.due.take()) == (0, {1}), "never less than none"


async def test_what_was_released_in_a_partition_with_a_max_waits_for_the_dispatcher() -> None:
    made = Scheduler(Wire(), Partition(1, "p"), Partition(2, "q", max=5), here={1, 2})
    await made.credit.give_back({})
    assert made.due.take() == {2}


async def test_what_ended_elsewhere_is_given_back_to_who_dispatches() -> None:
    wire = Wire()
    here, there = Partition(1, "p"), Partition(1, "p")
    dispatches = Scheduler(wire, here, here={1})
    completes = Scheduler(wire, there, here=set())
    await dispatches.gossip.listen()
    here.record_chosen(5)
    await completes.credit.give_back({1: 2})
    assert wire.published == [(f"{ENDED}.1", b"2")]
    assert (here.outstanding, there.outstanding) == (3, 0)
    assert dispatches.due.take() == {1}


async def test_only_partitions_that_are_dispatched_elsewhere_are_woken_by_a_message() -> None:
    wire = Wire()
    made = Scheduler(wire, Partition(1, "p"), Partition(2, "q"), here={1})
    await made.gossip.wake([1])
    assert wire.published == []
    await made.gossip.wake()
    assert wire.published == [(WOKEN, b"[1,2]")]
    assert made.due.take() == {1, 2}


async def test_counts_are_those_of_the_dispatcher_wherever_they_are_read() -> None:
    wire = Wire()
    here, there = Partition(1, "p", reserve=2), Partition(1, "p", reserve=2)
    dispatches, reads = Scheduler(wire, here, here={1}), Scheduler(wire, there, here=set())
    await reads.gossip.listen()
    here.record_chosen(5)
    await dispatches.gossip.publish_counts({1: 1})
    assert wire.published == [(COUNTS, b"[[1,5,1]]")]
    for partition in (here, there):
        assert (partition.counted, partition.reported_running, partition.under_reserve) == (5, 1, True)
