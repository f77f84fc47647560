"""The parts of dispatch, put together. `app` gives some of them to compute, under the names of `ports`."""

from typing import Any

import asyncpg

from services.scheduler.dispatch.control import WorkerControl
from services.scheduler.dispatch.credit import Credit
from services.scheduler.dispatch.dispatcher import Dispatcher
from services.scheduler.dispatch.due import Due
from services.scheduler.dispatch.gossip import Gossip
from services.scheduler.dispatch.placement import Placement
from services.scheduler.dispatch.port import DispatchPort
from services.scheduler.dispatch.queue import Queue
from services.scheduler.dispatch.ready import ReadyTasks
from services.scheduler.dispatch.registry import Registry
from services.scheduler.dispatch.unplaced import UnplacedTasks
from shared.bus.client import Bus


class Parts:
    """Those of one process.

    `pool` is for what the dispatcher reads and writes, `lookups` for what the queue looks up per message: a pool whose plans stay
    fast while tables grow.
    """

    def __init__(self, bus: Bus, pool: "asyncpg.Pool[Any]", lookups: "asyncpg.Pool[Any]") -> None:
        due, queue = Due(), Queue(bus, lookups)
        self.registry = Registry(bus, pool)
        self.gossip = Gossip(bus, self.registry, due)
        self.credit = Credit(self.registry, due, self.gossip)
        self.control = WorkerControl(bus, self.credit, self.gossip)
        self.dispatcher = Dispatcher(self.registry, due, ReadyTasks(pool), Placement(UnplacedTasks(pool)), queue)
        self.port = DispatchPort(self.registry, self.gossip, self.credit, queue, self.dispatcher)
