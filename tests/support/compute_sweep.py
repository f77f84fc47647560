"""The scheduler's sweep, to be called when a test wants it."""

from typing import Any

import asyncpg

from services.scheduler.compute.removal.chains import Removal
from services.scheduler.compute.removal.steps import RemovalSteps
from services.scheduler.compute.sessions.cleanup import Cleanup
from services.scheduler.compute.sweep import Sweep
from services.scheduler.dispatch.parts import Parts
from shared.runtime.clock import SystemClock
from shared.service.outbox import Relay
from shared.service.unit import Units
from tests.support.compute_rig import Rig


def sweep(rig: Rig, pool: "asyncpg.Pool[Any]", slice: int = 100, **more: Any) -> Sweep:
    units, parts = Units(pool, Relay(rig.bus, pool, "scheduler")), Parts(rig.bus, pool, pool)
    cleanup = Cleanup(units, parts.port, parts.control, slice=slice)
    removing = RemovalSteps(units, parts.port, parts.control, cleanup, rig.objects)
    removal = Removal(rig.bus, units, removing, SystemClock())
    return Sweep(pool, units, cleanup, removal, cleanup_after=0, **more)
