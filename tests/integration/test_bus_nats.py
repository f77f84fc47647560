"""NATS, held to the suite of the fake."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import msgspec
import pytest
import uvloop

from shared.bus.client import Bus, BusSettings
from shared.testing.conformance_bus import BusConformance
from tests.support.bus_rig import connected
from tests.support.proxy import Proxy
from tests.support.servers import Servers
from tests.support.wait import wait_until


@pytest.fixture
async def bus(nats: Servers) -> AsyncIterator[Bus]:
    async with connected(nats, "admin") as bus:
        yield bus


@pytest.fixture
async def other(bus: Bus, nats: Servers) -> AsyncIterator[Bus]:
    async with connected(nats, "admin", topology=False) as other:
        yield other


class TestNats(BusConformance):
    pass


async def test_a_connection_is_closed_quietly_while_the_bus_is_away(nats: Servers) -> None:
    """As processes run, on uvloop, which refuses to write to a connection that is gone."""
    address = urlsplit(nats.nats_url)

    async def left_while_away() -> None:
        settings = BusSettings(**nats.bus("worker"))
        async with Proxy(address.port or 0, address.hostname or "") as line:
            far = msgspec.structs.replace(settings, nats_url=line.url(settings.nats_url))
            bus = await Bus.connect(far, "worker", apply_topology=False)
            line.refuse()
            await wait_until(lambda: not bus.nc.is_connected, on_timeout=lambda: "it is still connected")
            await bus.nc.publish("hr.report.default", b"unsent")
            assert bus.nc.pending_data_size > 0
            await asyncio.wait_for(bus.close(), 10)
            assert bus.nc.is_closed

    await asyncio.to_thread(uvloop.run, left_while_away())
