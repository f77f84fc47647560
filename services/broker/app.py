"""The broker, wired."""

import asyncio

from services.broker import __version__
from services.broker.settings import Settings
from shared.bus.health import serve_health
from shared.bus.station import open_station
from shared.db.pool import ping
from shared.objects.s3 import open_objects
from shared.runtime.clock import SystemClock


async def main(settings: Settings, stop: asyncio.Event) -> None:
    about = "A site's agent: offers, reservations, execution sessions."
    async with (
        open_station(settings.station, "broker", __version__, about) as station,
        open_objects(settings.objects) as objects,
    ):
        serve_health(station.service, {"database": lambda: ping(station.pool), "objects": objects.check}, SystemClock())
        await station.service.start()
        async with asyncio.TaskGroup() as group:
            relaying = group.create_task(station.relay.run())
            await stop.wait()
            await station.service.stop()
            relaying.cancel()
