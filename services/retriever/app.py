"""The retriever, wired."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

from services.retriever import __version__
from services.retriever.retrieval.chain import Retrieve
from services.retriever.retrieval.eviction import EVERY, Sweep
from services.retriever.retrieval.handlers import Retrievals
from services.retriever.retrieval.peers import Peers
from services.retriever.schema import SCHEMA
from services.retriever.settings import Settings
from shared.chain.chains import Chains
from shared.chain.operations import Operations
from shared.chain.runner import Runner
from shared.chain.schema import SCHEMA as CHAINS
from shared.db.pool import ping
from shared.objects.known_storages import recorder
from shared.objects.lts import open_lts
from shared.objects.s3 import open_objects
from shared.objects.schema import SCHEMA as STORAGES
from shared.objects.sweep import sweeping
from shared.runtime.clock import SystemClock
from shared.runtime.loop import Loop
from shared.service.bootstrap import open_service
from shared.service.health import serve_health


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Runs the retriever until `stop` is set. StartFailed if a server that it needs cannot be reached."""
    about = "From long-term storage back to users and tasks."
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(
            open_service(settings.service, "retriever", __version__, about, CHAINS, STORAGES, SCHEMA, connections=12)
        )
        record = recorder(base.pool)
        objects = await stack.enter_async_context(open_objects(settings.objects, record=record))
        lts = await stack.enter_async_context(open_lts(settings.lts, settings.objects, record=record))
        service, pool, units, bus = base.service, base.pool, base.units, base.bus
        retrieve = Retrieve(units, objects, lts, Peers(bus), settings.lts.lts_name)
        chains = Chains(bus, units, "retriever", retrieve.chain)
        expiry = timedelta(seconds=settings.keep.download_seconds)
        Retrievals(pool, bus, chains, retrieve, objects, clock, expiry).register(service)
        operations = Operations(chains)
        operations.register(service)
        checks = {"database": lambda: ping(pool), "objects": objects.check, "lts": lts.check}
        serve_health(service, checks, clock)
        await service.start()
        runner = Runner(bus, chains)
        await runner.start()
        async with asyncio.TaskGroup() as group:
            relaying = group.create_task(base.relay.run())
            sweeping_up = group.create_task(sweeping((objects, "retrieval/")).run())
            sweep = Sweep(units, objects, clock, timedelta(seconds=settings.keep.retrieval_seconds))
            by_age = group.create_task(Loop("retrieval", EVERY, sweep.run_once).run())
            await stop.wait()
            operations.stop()
            await service.stop()
            await runner.stop()
            relaying.cancel()
            sweeping_up.cancel()
            by_age.cancel()
