"""What a worker holds, and when a message of tasks may be acknowledged."""

import asyncio
from uuid import uuid4

from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.contracts.work import TaskBatch, Work
from shared.worker.holding import Held, Holding, Parcel
from shared.worker.queues import Queue


class Line(Queue):
    """A queue without a bus."""

    def __init__(self, rank: int = 0) -> None:
        self.rank = rank


LINE = Line()


def parcel(count: int = 1, now: float = 0, queue: Queue = LINE) -> tuple[Parcel, list[Held]]:
    batch = TaskBatch(uuid4(), 1, [Work(uuid4(), "f", []) for _ in range(count)])
    made = Parcel(Msg(Client(), headers={"traceparent": "00-t"}), batch, queue, now)
    return made, [Held(work, made) for work in batch.tasks]


async def test_tasks_come_in_the_order_of_their_arrival() -> None:
    holding = Holding()
    made, held = parcel(3)
    assert (made.untold, made.trace) == (3, "00-t")
    assert holding.pop() is None
    for each in held:
        holding.add(each)
    assert holding.pop() is held[0]
    holding.drop(held[1])  # told to let it go before its turn
    assert holding.pop() is held[2]
    assert holding.waiting == 0


def test_an_older_attempt_is_a_copy_and_a_newer_one_is_not() -> None:
    holding, (_, (held,)) = Holding(), parcel()
    holding.add(held)
    work = held.work
    assert work in holding
    assert Work(work.id, "f", [], attempt=1) not in holding
    newer = Held(Work(work.id, "f", [], attempt=1), held.parcel)
    holding.add(newer)
    assert work in holding
    holding.drop(held)  # the older one ends late: the newer stays
    assert holding.get(work.id) is newer


async def test_room_waits_for_tasks_to_leave() -> None:
    holding, (_, held) = Holding(), parcel(2)
    for each in held:
        holding.add(each)
    room = asyncio.create_task(holding.room(LINE, 2))
    await asyncio.sleep(0)
    assert not room.done()
    holding.pop()
    await asyncio.wait_for(room, 5)


async def test_a_parcel_of_which_nothing_has_begun_can_be_given_back() -> None:
    holding = Holding()
    (early, first), (late, second), (begun, third) = parcel(2, 1.0), parcel(1, 5.0), parcel(2, 1.0)
    for each in (*first, *second, *third):
        holding.add(each)
    begun.begun = True
    assert holding.unbegun(before=2.0) == [early]
    assert set(holding.unbegun(before=9.0)) == {early, late}
    assert holding.of(early) == first
    holding.drop(first[0])
    holding.drop(first[1])
    assert holding.unbegun(before=2.0) == [], "what has been given back is not given back again"


async def test_the_lowest_rank_goes_first_and_among_equals_who_came_first() -> None:
    holding, urgent, usual, other = Holding(), Line(-1), Line(), Line()
    (_, (a, b)), (_, (c,)), (_, (d,)) = parcel(2, 1.0, usual), parcel(1, 2.0, other), parcel(1, 3.0, urgent)
    for each in (a, b, c, d):
        holding.add(each)
    assert [holding.pop() for _ in range(2)] == [d, a]
    other.rank = -2
    assert [holding.pop() for _ in range(2)] == [c, b]


async def test_each_queue_has_room_of_its_own() -> None:
    holding, urgent = Holding(), Line(-1)
    for each in parcel(2)[1]:
        holding.add(each)
    await asyncio.wait_for(holding.room(urgent, 2), 5)
    full = asyncio.create_task(holding.room(LINE, 2))
    await asyncio.sleep(0)
    assert not full.done()
    full.cancel()
