"""Chains on a real bus and a real database, with as many runners as a test wants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from nats.aio.msg import Msg

from shared.bus.client import Bus, BusSettings
from shared.chain.chains import Chains
from shared.chain.declare import Chain
from shared.chain.runner import Runner
from shared.chain.schema import SCHEMA as CHAINS
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.service.outbox import Relay
from shared.service.schema import SCHEMA as OUTBOX
from shared.service.unit import Unit, Units
from tests.support.databases import Database
from tests.support.servers import Servers
from tests.support.wait import wait_until

SERVICE = "archiver"


class NatsBench:
    """One service. `heard`: subjects of its events; `steps`: of its due steps and schedules, as published."""

    def __init__(self, bus: Bus, pool: "asyncpg.Pool[Any]", chains: tuple[Chain[Any], ...]) -> None:
        self.bus, self.pool = bus, pool
        self.relay = Relay(bus, pool, SERVICE)
        self.units = Units(pool, self.relay)
        self.chains = Chains(bus, self.units, SERVICE, *chains)
        self.heard: list[str] = []
        self.steps: list[str] = []
        self.runners: list[Runner] = []

    def begin(self) -> AbstractAsyncContextManager[Unit]:
        return self.units.begin()

    async def runner(self, **options: Any) -> Runner:
        """One more process's runner. Leases are short, so that a kill shows soon."""
        runner = Runner(self.bus, self.chains, **{"lease": 1.5, "sweep_every": 0.2, **options})
        self.runners.append(runner)
        await runner.start()
        return runner

    async def kill(self, runner: Runner) -> None:
        """As SIGKILL would: nothing is given back, nothing acknowledged, nothing committed any more."""
        runner.release = runner.pull.nak = runner.pull.ack = _nothing  # type: ignore[method-assign,assignment]
        self.runners.remove(runner)
        await runner.stop(grace=0)

    def events_of(self, id: UUID) -> list[str]:
        """`<noun>.<event>` of all that was told of a chain, sorted."""
        return sorted(".".join(one.split(".")[2:4]) for one in self.heard if one.endswith(str(id)))

    async def events_until(self, id: UUID, last: str) -> list[str]:
        def names() -> list[str]:
            return [".".join(one.split(".")[2:4]) for one in self.heard if one.endswith(str(id))]

        await wait_until(lambda: last in names(), on_timeout=lambda: self.heard)
        return names()

    async def close(self) -> None:
        for runner in self.runners:
            await runner.stop(grace=1)


async def _nothing(*_: object) -> None:
    pass


@asynccontextmanager
async def open_bench(
    nats: Servers, database: Database, *chains: Chain[Any], url: str = "", settings: BusSettings | None = None
) -> AsyncIterator[NatsBench]:
    """`url`, `settings`: where database and bus are for this bench, if it goes through something."""
    pool = await open_pool(url or database.url(SERVICE), SERVICE)
    await migrate(pool, SERVICE, OUTBOX, CHAINS)
    bus = await Bus.connect(settings or BusSettings(**nats.bus(SERVICE)), SERVICE)
    watcher = await nats.connect()
    bench = NatsBench(bus, pool, chains)

    async def hear(message: Msg) -> None:
        (bench.heard if message.subject.startswith("hr.evt") else bench.steps).append(message.subject)

    await watcher.subscribe("hr.evt.>", cb=hear)
    await watcher.subscribe("hr.step.>", cb=hear)
    await watcher.subscribe("hr.at.>", cb=hear)  # what a schedule then delivers goes to the stream alone
    await watcher.flush()
    relaying = asyncio.create_task(bench.relay.run())
    try:
        yield bench
    finally:
        await bench.close()
        relaying.cancel()
        await watcher.close()
        await bus.close()
        await pool.close()
