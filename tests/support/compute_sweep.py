"""The scheduler's sweep, to be called when a test wants it."""

from typing import Any

import asyncpg

from services.scheduler.compute.removal.chains import Removal
from services.scheduler.compute.removal.steps import RemovalSteps
from services.scheduler.compute.sessions.cleanup import Cleanup
from services.scheduler.compute.sweep import Sweep
from services.scheduler.dispatch.queue import Queue
from services.scheduler.dispatch.turns import Turns
from shared.runtime.clock import SystemClock
from shared.service.outbox import Relay
from shared.service.unit import Units
from tests.support.compute_rig import Rig


def sweep(rig: Rig, pool: "asyncpg.Pool[Any]", slice: int = 100, **more: Any) -> Sweep:
    units, turns = Units(pool, Relay(rig.bus, pool, "scheduler")), Turns(rig.bus, pool, Queue(rig.bus, pool))
    cleanup = Cleanup(units, turns, turns, slice=slice)
    removal = Removal(rig.bus, units, RemovalSteps(units, turns, turns, cleanup, rig.objects), SystemClock())
    return Sweep(pool, units, cleanup, removal, cleanup_after=0, **more)
