"""What a worker holds: the order of its tasks, and the messages that can be given back."""

import asyncio
from unittest.mock import Mock
from uuid import uuid4

from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.contracts.work import TaskBatch, Work
from shared.worker.delivery import Delivery
from shared.worker.held_tasks import HeldTask, HeldTasks
from shared.worker.partition_queue import PartitionQueue


class Queue(PartitionQueue):
    """A partition without a bus."""

    def __init__(self, rank: int = 0) -> None:
        self.rank = rank


QUEUE = Queue()


def deliver(count: int = 1, now: float = 0, queue: Queue = QUEUE) -> tuple[Delivery, list[HeldTask]]:
    batch = TaskBatch(uuid4(), 1, [Work(uuid4(), "f", []) for _ in range(count)])
    made = Delivery(Msg(Client(), headers={"traceparent": "00-t"}), batch, Mock(), now)
    return made, [HeldTask(work, made, queue) for work in batch.tasks]


async def test_tasks_come_in_the_order_of_their_arrival() -> None:
    held_tasks = HeldTasks()
    made, held = deliver(3)
    assert (made.unreported, made.trace) == (3, "00-t")
    assert held_tasks.pop() is None
    for each in held:
        held_tasks.add(each)
    assert held_tasks.pop() is held[0]
    held_tasks.drop(held[1])  # stopped before its turn
    assert held_tasks.pop() is held[2]
    assert held_tasks.waiting == 0


def test_an_older_attempt_is_a_copy_and_a_newer_one_is_not() -> None:
    held_tasks, (_, (held,)) = HeldTasks(), deliver()
    held_tasks.add(held)
    work = held.work
    assert work in held_tasks
    assert Work(work.id, "f", [], attempt=1) not in held_tasks
    newer = HeldTask(Work(work.id, "f", [], attempt=1), held.delivery, QUEUE)
    held_tasks.add(newer)
    assert work in held_tasks
    held_tasks.drop(held)  # the older one ends late: the newer stays
    assert held_tasks.get(work.id) is newer


async def test_room_waits_for_tasks_to_leave() -> None:
    held_tasks, (_, held) = HeldTasks(), deliver(2)
    for each in held:
        held_tasks.add(each)
    room = asyncio.create_task(held_tasks.until_room(QUEUE, 2))
    await asyncio.sleep(0)
    assert not room.done()
    held_tasks.pop()
    await asyncio.wait_for(room, 5)


async def test_a_delivery_of_which_nothing_has_begun_can_be_given_back() -> None:
    held_tasks = HeldTasks()
    (early, first), (late, second), (begun, third) = deliver(2, 1.0), deliver(1, 5.0), deliver(2, 1.0)
    for each in (*first, *second, *third):
        held_tasks.add(each)
    begun.started = True
    assert held_tasks.not_started(before=2.0) == [early]
    assert set(held_tasks.not_started(before=9.0)) == {early, late}
    assert held_tasks.of(early) == first
    held_tasks.drop(first[0])
    held_tasks.drop(first[1])
    assert held_tasks.not_started(before=2.0) == [], "what has been given back is not given back again"


async def test_the_lowest_rank_goes_first_and_among_equals_who_came_first() -> None:
    held_tasks, urgent, usual, other = HeldTasks(), Queue(-1), Queue(), Queue()
    (_, (a, b)), (_, (c,)), (_, (d,)) = deliver(2, 1.0, usual), deliver(1, 2.0, other), deliver(1, 3.0, urgent)
    for each in (a, b, c, d):
        held_tasks.add(each)
    assert [held_tasks.pop() for _ in range(2)] == [d, a]
    other.rank = -2
    assert [held_tasks.pop() for _ in range(2)] == [c, b]


async def test_each_queue_has_room_of_its_own() -> None:
    held_tasks, urgent = HeldTasks(), Queue(-1)
    for each in deliver(2)[1]:
        held_tasks.add(each)
    await asyncio.wait_for(held_tasks.until_room(urgent, 2), 5)
    full = asyncio.create_task(held_tasks.until_room(QUEUE, 2))
    await asyncio.sleep(0)
    assert not full.done()
    full.cancel()
