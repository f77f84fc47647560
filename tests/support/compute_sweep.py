"""The scheduler's sweep, to be called when a test wants it."""

from typing import Any

import asyncpg

from services.scheduler.compute.removal.chains import Removal
from services.scheduler.compute.removal.steps import Removing
from services.scheduler.compute.sessions.duties import Duties
from services.scheduler.compute.sweep import Sweep
from services.scheduler.dispatch.queue import Queue
from services.scheduler.dispatch.turns import Turns
from shared.runtime.clock import SystemClock
from shared.service.outbox import Relay
from shared.service.unit import Units
from tests.support.compute_rig import Rig


def sweep(rig: Rig, pool: "asyncpg.Pool[Any]", slice: int = 100, **more: Any) -> Sweep:
    units, turns = Units(pool, Relay(rig.bus, pool, "scheduler")), Turns(rig.bus, pool, Queue(rig.bus, pool))
    duties = Duties(units, turns, turns, slice=slice)
    removal = Removal(rig.bus, units, Removing(units, turns, turns, duties, rig.objects), SystemClock())
    return Sweep(pool, units, duties, removal, owed_after=0, **more)
