"""The scheduler, wired."""

import asyncio
from contextlib import AsyncExitStack

from services.scheduler import __version__
from services.scheduler.compute.parts import Parts as ComputeParts
from services.scheduler.dispatch.explain import WaitingReasons
from services.scheduler.dispatch.handlers import Partitions
from services.scheduler.dispatch.parts import Parts as DispatchParts
from services.scheduler.dispatch.upkeep import Upkeep
from services.scheduler.heavy_reads import HeavyReads
from services.scheduler.pools import WALKS, open_pools
from services.scheduler.schema import SCHEMA
from services.scheduler.settings import Settings
from shared.chain.schema import SCHEMA as CHAINS
from shared.db.pool import ping
from shared.objects.known_storages import recorder
from shared.objects.s3 import open_objects
from shared.objects.schema import SCHEMA as STORAGES
from shared.runtime.clock import SystemClock
from shared.service.bootstrap import open_service
from shared.service.health import serve_health

DRAIN = 10.0
"""Seconds that the reports in hand may take at the end; longer only if the database is away: reports are kept."""


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Runs until `stop` is set, then ends what is under way."""
    about, schemas = "Sessions, results, tasks: what may run, and when.", (CHAINS, STORAGES, SCHEMA)
    database_url, clock = settings.service.database_url, SystemClock()
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(
            open_service(settings.service, "scheduler", __version__, about, *schemas, connections=12, planner=WALKS)
        )
        bus, pool, units, relay, service = base.bus, base.pool, base.units, base.relay, base.service
        pools = await stack.enter_async_context(open_pools(database_url))
        objects = await stack.enter_async_context(open_objects(settings.objects, record=recorder(pool)))
        heavy = HeavyReads(pools.lists)

        dispatch = DispatchParts(bus, pool, pools.completer)
        compute = ComputeParts(
            base,
            pools,
            objects,
            clock,
            settings,
            heavy,
            partitions=dispatch.registry,
            dispatch=dispatch.port,
            workers=dispatch.control,
            waiting=WaitingReasons(pool, dispatch.registry),
        )
        upkeep = Upkeep(bus, pool, units, dispatch, compute.failures, clock, settings.leases, database_url)
        stack.push_async_callback(upkeep.close)
        await upkeep.start()

        for endpoints in (*compute.endpoints, Partitions(bus, pool, dispatch.registry, heavy)):
            endpoints.register(service)
        serve_health(service, {"database": lambda: ping(pool), "objects": objects.check}, clock)
        await service.start()
        await compute.chains.start()

        async with asyncio.TaskGroup() as group:
            runs = (*upkeep.background, *compute.background, dispatch.dispatcher.run, relay.run)
            background = [group.create_task(run()) for run in runs]
            reports = group.create_task(compute.reports.run())
            await stop.wait()
            compute.waits.stop()
            compute.operations.stop()
            await service.stop()
            await compute.cleanup.stop()
            await compute.chains.stop()
            await compute.reports.stop()
            await asyncio.wait([reports], timeout=DRAIN)
            for task in (reports, *background):
                task.cancel()
