"""The archiver, wired."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

from services.archiver import __version__
from services.archiver.archive.abandonment import Abandoning
from services.archiver.archive.abandonments import Abandonments
from services.archiver.archive.archival import Archiving
from services.archiver.archive.chains import declare
from services.archiver.archive.jobs import Jobs
from services.archiver.archive.post_upload import PostUpload
from services.archiver.archive.repair import Repairing
from services.archiver.archive.retrieval import Forwarding
from services.archiver.archive.sweep import EVERY, Sweep
from services.archiver.archive.uploads import Uploads
from services.archiver.catalogue.datablocks import Datablocks
from services.archiver.catalogue.datasets import Datasets
from services.archiver.schema import SCHEMA
from services.archiver.settings import Settings
from shared.chain.chains import Chains
from shared.chain.operations import Operations
from shared.chain.runner import Runner
from shared.chain.schema import SCHEMA as CHAINS
from shared.db.pool import ping
from shared.objects.known_storages import recorder
from shared.objects.lts import MIB, open_lts
from shared.objects.s3 import open_objects
from shared.objects.schema import SCHEMA as STORAGES
from shared.objects.sweep import sweeping
from shared.runtime.clock import SystemClock
from shared.runtime.loop import Loop
from shared.service.bootstrap import open_service
from shared.service.health import serve_health


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Runs the archiver until `stop` is set. StartFailed if a server that it needs cannot be reached."""
    about = "Datasets in: datablocks packed, stored, validated, registered."
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(
            open_service(settings.service, "archiver", __version__, about, CHAINS, STORAGES, SCHEMA, connections=12)
        )
        record = recorder(base.pool)
        objects = await stack.enter_async_context(open_objects(settings.objects, record=record))
        lts = await stack.enter_async_context(open_lts(settings.lts, settings.objects, record=record))
        service, pool, units = base.service, base.pool, base.units
        target, storage = settings.pack.datablock_mib * MIB, settings.lts.lts_name
        packing = PostUpload(units, objects, target=target, storage=storage)
        declared = declare(
            packing,
            Archiving(units, objects, lts, storage),
            Repairing(units, objects, packing),
            Forwarding(base.bus),
            Abandoning(units, objects, lts, storage),
        )
        chains = Chains(base.bus, units, "archiver", *declared)
        packing.start = lambda unit, state: chains.start(
            unit, declared.post_upload, state, operation=state.shown_as("upload")
        )
        Datasets(pool, chains, objects).register(service)
        Abandonments(pool, chains, declared).register(service)
        Datablocks(pool, chains).register(service)
        Uploads(pool, chains, declared, objects, clock, timedelta(seconds=settings.pack.upload_seconds)).register(
            service
        )
        Jobs(pool, chains, declared).register(service)
        operations = Operations(chains)
        operations.register(service)
        checks = {"database": lambda: ping(pool), "objects": objects.check, "lts": lts.check}
        serve_health(service, checks, clock)
        await service.start()
        runner = Runner(base.bus, chains)
        await runner.start()
        async with asyncio.TaskGroup() as group:
            relaying = group.create_task(base.relay.run())
            sweeping_up = group.create_task(sweeping((objects, "staging/"), (lts, "datasets/")).run())
            sweep = Sweep(units, objects, clock, timedelta(seconds=settings.pack.landing_seconds))
            by_age = group.create_task(Loop("landing", EVERY, sweep.run_once).run())
            await stop.wait()
            operations.stop()
            await service.stop()
            await runner.stop()
            relaying.cancel()
            sweeping_up.cancel()
            by_age.cancel()
