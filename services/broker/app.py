"""The broker, wired."""

import asyncio
from contextlib import AsyncExitStack

from services.broker import __version__
from services.broker.offers.decide import Place
from services.broker.offers.handlers import Handlers
from services.broker.offers.sweep import Sweep
from services.broker.offers.transitions import Offers
from services.broker.schema import SCHEMA
from services.broker.sessions.compute import ComputeSessions
from services.broker.settings import Settings
from shared.contracts.delegation import SITE_ISSUER
from shared.db.pool import ping
from shared.objects.known_storages import recorder
from shared.objects.s3 import open_objects
from shared.objects.schema import SCHEMA as STORAGES
from shared.runtime.clock import SystemClock
from shared.runtime.loop import Loop
from shared.service.bootstrap import open_service
from shared.service.health import serve_health

SWEEP = 1.0
"""Seconds between two rounds of the sweep."""


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Runs the broker until `stop` is set. StartFailed if a server that it needs cannot be reached."""
    about = f"The agent of {settings.site}: offers, reservations, execution sessions."
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(
            open_service(
                settings.service,
                "broker",
                __version__,
                about,
                STORAGES,
                SCHEMA,
                apply_topology=False,
                issuer=f"{SITE_ISSUER}{settings.site}",
            )
        )
        record = recorder(base.pool)
        objects = await stack.enter_async_context(open_objects(settings.objects, record=record))
        bus, pool, units, service, clock = base.bus, base.pool, base.units, base.service, SystemClock()
        place = place_of(settings)
        compute = ComputeSessions(bus, place.name)
        offers = Offers(units, compute, clock, place.name)
        Handlers(bus, units, offers, compute, place, clock).register(service)
        serve_health(service, {"database": lambda: ping(pool), "objects": objects.check}, clock)
        service.metadata["site"] = place.name  # the gateway learns from `$SRV.PING.broker` whose answers to wait for
        await service.start()
        sweep = Loop("sweep", SWEEP, Sweep(bus, units, offers, compute, clock).run_once)
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(work()) for work in (compute.make_partition, sweep.run, base.relay.run)]
            await stop.wait()
            await service.stop()
            for task in running:
                task.cancel()


def place_of(settings: Settings) -> Place:
    """The site as its settings describe it."""
    names = (name.strip() for name in settings.site_storages.split(","))
    return Place(
        settings.site,
        settings.site_cores,
        settings.site_memory_gib,
        frozenset(name for name in names if name),
        settings.site_move_mbps * 1e6,
        settings.offer_seconds,
    )
