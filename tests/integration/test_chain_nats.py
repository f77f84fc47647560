"""Chains on real NATS and PostgreSQL, held to the suite of the fake."""

from collections.abc import AsyncIterator

import pytest_asyncio

from shared.testing.conformance_chain import CHAINS, TRIP, ChainConformance, Trip, run
from tests.support.chain_rig import NatsBench, open_bench
from tests.support.databases import Database
from tests.support.servers import Servers
from tests.support.wait import wait_until


@pytest_asyncio.fixture
async def bench(nats: Servers, database: Database) -> AsyncIterator[NatsBench]:
    async with open_bench(nats, database, *CHAINS) as bench:
        await bench.runner()
        yield bench


class TestNats(ChainConformance):
    pass


async def test_each_due_step_is_a_message(bench: NatsBench) -> None:
    info, _ = await run(bench, TRIP, move=["system", "user"])
    steps = ["pack", "move", "move", "undo-move", "undo-pack", "undo-chain", "on-user-error"]
    assert bench.steps == [f"hr.step.archiver.trip.{name}" for name in steps]

    async def left() -> bool:
        return (await bench.bus.nc.jetstream().stream_info("STEPS")).state.messages == 0

    await wait_until(left, on_timeout="every message is acknowledged")
    assert info.step == "move"


async def test_many_chains_at_once(bench: NatsBench) -> None:
    async with bench.begin() as unit:
        ids = [await bench.chains.start(unit, TRIP, Trip()) for _ in range(100)]
    for id in ids:
        assert (await bench.chains.wait(id)).status == "done"
    assert len(await bench.chains.list(kind="trip", live=False, size=1000)) == 100
    assert await bench.chains.list(live=True) == []
    page = await bench.chains.list(size=10)
    assert len(page) == 10
    assert (await bench.chains.list(before=page[-1].id, size=1))[0].id < page[-1].id
