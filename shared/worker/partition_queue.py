"""One partition as a worker sees it: where its tasks come from, how urgent they are, where their reports go."""

from shared.bus.client import Bus
from shared.bus.pull import Pull
from shared.contracts.topology import TASKS, worker_consumer
from shared.worker.reports import Reports

GIVE_BACK = 2.0
"""Seconds after which a message of which no task could begin here is offered to other workers."""


class PartitionQueue:
    """The tasks of one partition, and the reports about them.

    rank    of the worker's partitions, the one with the lowest rank goes first; the scheduler sets it by heartbeats
    fresh   seconds after a message was pulled in which no other worker can have it
    """

    def __init__(self, bus: Bus, worker: str, partition: str, slots: int) -> None:
        consumer = worker_consumer(partition)
        self.partition, self.rank = partition, 0
        self.pull = Pull(bus, TASKS.name, consumer.name, batch=2 * slots, return_after=GIVE_BACK)
        self.fresh = consumer.ack_wait / 2
        self.reports = Reports(bus, worker, partition)
