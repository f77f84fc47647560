"""What the tests of the bus stand on: connections, a service of their own, and what was told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from shared.bus.client import Bus, BusSettings
from shared.contracts.endpoint import Command, Query
from shared.contracts.errors import BY_CODE, NotFound, TimedOut
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.service.context import Context
from shared.service.outbox import Relay
from shared.service.schema import SCHEMA
from shared.service.service import Service
from shared.service.unit import Unit, Units
from tests.support.databases import Database
from tests.support.servers import Servers, settled


class Word(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str
    times: int = 1


class Said(msgspec.Struct, frozen=True):
    text: str
    user: str


WORD_SAY = Command("archiver", "word", "say", Word, Said, None, "Says a word.")
WORD_ECHO = Query("archiver", "word", "echo", Word, Said, None, "Repeats a word.")
WORD_FAIL = Query("archiver", "word", "fail", Word, Said, None, "Fails as it is told.")


@asynccontextmanager
async def connected(
    servers: Servers, user: str = "archiver", *, topology: bool = True, site: str = ""
) -> AsyncIterator[Bus]:
    """`site`: whose broker it is, if it is one: those make no streams."""
    applies = topology and user != "broker"
    bus = await Bus.connect(BusSettings(**servers.bus(user, site)), user, apply_topology=applies)
    try:
        yield bus
    finally:
        await bus.close()


class Bench:
    """The archiver's place on the bus with a table `said`, one row a word. `acted`: how often the handler ran.

    `asker`: who may ask it anything. `held`: words whose handler waits. `keys`: the folder of those who may sign.
    """

    def __init__(self, bus: Bus, asker: Bus, pool: Any, relay: Relay, keys: str) -> None:
        self.bus, self.asker, self.pool, self.relay, self.keys = bus, asker, pool, relay, keys
        self.units = Units(pool, relay)
        self.service = Service(bus, self.units, "archiver", "1.2.3", "what the tests ask")
        self.acted = 0
        self.held: dict[str, asyncio.Event] = {}
        self.service.on(WORD_SAY, self.say)
        self.service.on(WORD_ECHO, self.echo)
        self.service.on(WORD_FAIL, self.fail)

    async def start(self) -> None:
        """Until the server knows where to find it."""
        await self.service.start()
        await settled(self.bus.nc)

    async def say(self, unit: Unit, ctx: Context, word: Word) -> Said:
        self.acted += 1
        if held := self.held.get(word.text):
            await held.wait()
        await unit.connection.execute("INSERT INTO said (text) VALUES ($1)", word.text)
        unit.emit("hr.evt.dataset.said.1", word)
        if word.text == "refuse":
            raise NotFound("nothing of that kind", field="text")
        if word.text == "surprise":
            raise RuntimeError("a secret of ours")
        if word.text == "late":
            raise TimedOut("it took longer than 30 s")
        return Said(word.text * word.times, ctx.user)

    async def echo(self, ctx: Context, word: Word) -> Said:
        return Said(word.text * word.times, ctx.user)

    async def fail(self, ctx: Context, word: Word) -> Said:
        """Raises the error whose code is asked for."""
        raise BY_CODE[word.text]("as told", field="there") if word.text in BY_CODE else RuntimeError("a secret of ours")

    async def said(self) -> list[str]:
        return [row["text"] for row in await self.pool.fetch("SELECT text FROM said ORDER BY id")]

    async def events(self) -> list[Any]:
        """What EVENTS holds, as stored messages."""
        jetstream = self.bus.nc.jetstream()
        state = (await jetstream.stream_info("EVENTS")).state
        return [await jetstream.get_msg("EVENTS", seq) for seq in range(state.first_seq, state.last_seq + 1) if seq]


@asynccontextmanager
async def open_bench(servers: Servers, database: Database, *, poll_every: float = 0.05) -> AsyncIterator[Bench]:
    async with (
        connected(servers) as bus,
        connected(servers, "admin", topology=False) as asker,
        await open_pool(database.url("archiver"), "archiver") as pool,
    ):
        await migrate(pool, "archiver", SCHEMA)
        await pool.execute("CREATE TABLE said (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text NOT NULL)")
        yield Bench(bus, asker, pool, Relay(bus, pool, "archiver", poll_every=poll_every), servers.keys)
