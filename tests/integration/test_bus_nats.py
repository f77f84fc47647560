"""NATS, held to the suite of the fake."""

from collections.abc import AsyncIterator

import pytest

from shared.bus.client import Bus
from shared.testing.conformance_bus import BusConformance
from tests.integration.bus_rig import connected
from tests.support.servers import Servers


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
