"""The scheduler, wired."""

import asyncio
from contextlib import AsyncExitStack

from services.scheduler import __version__
from services.scheduler.compute.completion.release import Release
from services.scheduler.compute.lists.states import StatePages
from services.scheduler.compute.removal.chains import Removal
from services.scheduler.compute.removal.steps import Removing
from services.scheduler.compute.results.deletions import Deletions
from services.scheduler.compute.results.handlers import Results
from services.scheduler.compute.results.imports import Imports, prefixes
from services.scheduler.compute.results.orphaned_objects import Doomed
from services.scheduler.compute.results.waits import Waits
from services.scheduler.compute.sessions.closing import Closing
from services.scheduler.compute.sessions.duties import Duties
from services.scheduler.compute.sessions.handlers import Sessions
from services.scheduler.compute.submissions.handlers import Submissions
from services.scheduler.compute.submissions.input_lists import InputLists
from services.scheduler.compute.subtasks.handlers import Subtasks
from services.scheduler.compute.sweep import Sweep
from services.scheduler.compute.tasks.changes import Changes
from services.scheduler.compute.tasks.handlers import Tasks
from services.scheduler.compute.tasks.log_handlers import Logs
from services.scheduler.compute.tasks.queries import Queries
from services.scheduler.dispatch.explain import WaitingReasons
from services.scheduler.dispatch.handlers import Partitions
from services.scheduler.dispatch.heartbeats import Heartbeats
from services.scheduler.dispatch.leases import Leases
from services.scheduler.dispatch.locks import DispatchLocks
from services.scheduler.dispatch.parts import Parts
from services.scheduler.dispatch.preemption import Preemption
from services.scheduler.dispatch.recovery import Recovery
from services.scheduler.heavy_reads import PLACES, SECONDS, HeavyReads
from services.scheduler.schema import SCHEMA
from services.scheduler.settings import Settings
from shared.chain.operations import Operations
from shared.chain.runner import Runner
from shared.chain.schema import SCHEMA as CHAINS
from shared.db.pool import open_pool, ping
from shared.objects.known_storages import recorder
from shared.objects.s3 import open_objects
from shared.objects.schema import SCHEMA as STORAGES
from shared.runtime.clock import SystemClock
from shared.runtime.loop import Loop
from shared.service.bootstrap import open_service
from shared.service.health import serve_health

WALKS = {"enable_bitmapscan": "off"}
"""Ids come in order, and much is taken slice by slice in their order. Of a million tasks that have just come nobody has told
the planner: it would collect all that are left of them, and sort them, for each slice."""

LEAN = {
    **WALKS,
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
"""For the completer: plans made once, which do not scan tables that have grown since (40 ms a hop instead of 0.5)."""

LISTS = {**WALKS, "statement_timeout": f"{SECONDS}s", "max_parallel_workers_per_gather": "0"}
"""For lists: each ends, and takes one processor at most."""

DRAIN = 10.0
"""Seconds that the reports in hand may take at the end."""


async def main(settings: Settings, stop: asyncio.Event) -> None:
    about, schemas = "Sessions, results, tasks: what may run, and when.", (CHAINS, STORAGES, SCHEMA)
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(
            open_service(settings.service, "scheduler", __version__, about, *schemas, connections=12, planner=WALKS)
        )
        bus, pool, units, relay, service = base.bus, base.pool, base.units, base.relay, base.service
        lean = await stack.enter_async_context(
            await open_pool(settings.service.database_url, "scheduler", largest=2, settings=LEAN)
        )
        list_pool = await stack.enter_async_context(
            await open_pool(settings.service.database_url, "scheduler", largest=PLACES, settings=LISTS)
        )
        objects = await stack.enter_async_context(open_objects(settings.objects, record=recorder(pool)))
        told = settings.leases
        clock, database_url = SystemClock(), settings.service.database_url
        parts = Parts(bus, pool, lean)
        registry, credit, gossip, control, dispatch = (
            parts.registry,
            parts.credit,
            parts.gossip,
            parts.control,
            parts.port,
        )
        closing = Closing(units)
        release = Release(bus, lean, units, dispatch, relay, closing)
        heartbeats = Heartbeats(bus, pool, registry, gossip, clock, every=told.beat_seconds)
        leases = Leases(
            bus, pool, registry, credit, gossip, release, clock, lease=told.lease_seconds, every=told.beat_seconds
        )
        locks = DispatchLocks(database_url, registry.suspend_all)
        stack.push_async_callback(locks.close)
        recovery = Recovery(bus, pool, registry, gossip, locks, clock, wait=told.recovery_seconds)
        preemption = Preemption(bus, pool, units, registry, credit, gossip, control, clock)
        duties = Duties(units, dispatch, control)
        removal = Removal(bus, units, Removing(units, dispatch, control, duties, objects), clock)
        await gossip.listen()
        await registry.refresh()
        await heartbeats.listen()
        doomed = Doomed(pool, objects)
        waits = Waits(bus, pool)
        heavy = HeavyReads(list_pool)
        waiting = WaitingReasons(pool, registry)
        Partitions(bus, pool, registry, heavy).register(service)
        Operations(removal.chains).register(service)
        Sessions(pool, registry, dispatch, waiting, duties, removal, heavy).register(service)
        Changes(dispatch, control, release).register(service)
        Results(pool, release, heavy).register(service)
        Imports(pool, release, objects, prefixes(settings.imports.import_prefixes)).register(service)
        Deletions(release, doomed).register(service)
        waits.register(service)
        lists = InputLists(pool, objects)
        Submissions(units, registry, dispatch, release, lists).register(service)
        Subtasks(registry, lists).register(service)
        Tasks(pool, waiting).register(service)
        Queries(pool, heavy).register(service)
        Logs(pool).register(service)
        StatePages(pool).register(service)
        serve_health(service, {"database": lambda: ping(pool), "objects": objects.check}, clock)
        await service.start()
        runner = Runner(bus, removal.chains)
        await runner.start()
        loops = [
            Loop("recovery", 1.0, recovery.run_once),
            Loop("locks", 1.0, locks.keep),  # also while a queue is rebuilt
            Loop("preempt", 1.0, preemption.run_once),
            Loop("leases", told.beat_seconds, leases.run_once),
            Loop("closing", 0.5, closing.run_once),
            Loop("sweep", 10.0, Sweep(pool, units, duties, removal).run_once),
        ]
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(loop.run()) for loop in loops]
            running += [group.create_task(parts.dispatcher.run()), group.create_task(relay.run())]
            running += [group.create_task(doomed.run())]
            releasing = group.create_task(release.run())
            await stop.wait()
            waits.stop()
            await service.stop()
            await duties.stop()
            await runner.stop()
            await release.stop()
            await asyncio.wait([releasing], timeout=DRAIN)  # longer only if the database is away: reports are kept
            releasing.cancel()
            for task in running:
                task.cancel()
