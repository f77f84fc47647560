"""What every route may need: the bus, the object store, who may do what."""

import asyncio

from services.gateway.auth import Auth
from services.gateway.store import Store
from services.gateway.worksteps import Worksteps
from shared.bus.client import Bus
from shared.objects.port import Objects


class Edge:
    """`stopping` is set when the process ends: answers that go on for ever stop then."""

    def __init__(self, bus: Bus, objects: Objects, auth: Auth, store: Store, stopping: asyncio.Event) -> None:
        self.bus, self.objects, self.auth, self.store = bus, objects, auth, store
        self.worksteps = Worksteps(store.pool)
        self.stopping = stopping
