"""One partition as a worker sees it: where its tasks come from, how urgent they are here, where their reports go."""

from shared.bus.client import Bus
from shared.bus.pull import Pull
from shared.contracts.topology import TASKS, worker_consumer
from shared.worker.reports import Reports

GIVE_BACK = 2.0
"""Seconds after which a message that nobody here could begin is offered to other workers."""


class Queue:
    """`rank`: those with the lowest go first. `fresh`: seconds after it was taken in which nobody else can have a message."""

    def __init__(self, bus: Bus, worker: str, partition: str, slots: int) -> None:
        consumer = worker_consumer(partition)
        self.partition, self.rank = partition, 0
        self.pull = Pull(bus, TASKS.name, consumer.name, batch=2 * slots, return_after=GIVE_BACK)
        self.fresh = consumer.ack_wait / 2
        self.reports = Reports(bus, self.pull, worker, partition)
