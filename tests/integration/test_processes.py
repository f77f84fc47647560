"""The harness that the whole-system tests stand on, and what the supervisor starts: all processes, healthy together."""

import signal

import httpx
import pytest

from shared.contracts.subjects import SERVICES
from tests.support.processes import Processes
from tests.support.wait import wait_until


async def test_everything_starts_and_a_death_is_noticed(system: Processes) -> None:
    await system.start(workers=1)
    async with httpx.AsyncClient(base_url=system.http, trust_env=False) as client:
        assert (await client.get("/health/ready")).status_code == 200
    system.check()

    await system.kill("broker")
    system.check()  # on purpose
    await system.restart("broker")

    system.signal("archiver", signal.SIGKILL)
    with pytest.raises(AssertionError, match="archiver killed by SIGKILL"):
        await system.wait_until(lambda: False)
    await system.restart("archiver")


async def test_the_bus_comes_back_empty_and_the_services_with_it(system: Processes) -> None:
    await system.start(*SERVICES, workers=0)
    await system.wipe_jetstream()
    client = await system.bus()
    try:

        async def streams() -> set[str]:
            return {str(stream.config.name) for stream in await client.jetstream().streams_info()}

        async def restored() -> bool:
            return {"TASKS", "REPORTS", "EVENTS"} <= await streams()

        await wait_until(restored, timeout=20, every=0.1, on_timeout=streams)
    finally:
        await client.close()
    await system.until_ready()
    system.check()
