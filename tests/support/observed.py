"""A whole system under observation: what passes on the bus, what stands in the rows, what lies in storage."""

import fnmatch
import json
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import asyncpg
from nats.aio.client import Client
from nats.aio.msg import Msg

from deploy.local.s3 import BUCKET
from shared.objects.layout import MARKER
from tests.support.datasets import Datasets
from tests.support.edge import Edge
from tests.support.folders import folder
from tests.support.processes import Processes
from tests.support.servers import of_stack, settled
from tests.support.sessions import Sessions
from tests.support.stops import Stops

Message = dict[str, Any]
FUNCTIONS = "tests.support.functions:app"


class Arrows:
    """The messages of the bus as its server ordered them. Each search goes on behind what the last one found."""

    def __init__(self, system: Processes) -> None:
        self._system = system
        self._messages: list[tuple[str, Message]] = []
        self._at = 0

    async def take(self, message: Msg) -> None:
        if message.data[:1] == b"{":
            self._messages.append((message.subject, json.loads(message.data)))

    def _find(self, subject: str, fields: Message) -> int | None:
        for place in range(self._at, len(self._messages)):
            named, said = self._messages[place]
            if fnmatch.fnmatchcase(named, subject) and all(said.get(name) == value for name, value in fields.items()):
                return place
        return None

    async def next(self, subject: str, **fields: Any) -> Message:
        """The next message of that subject (`*` is any text) with these fields."""
        return (await self.together((subject, fields)))[0]

    async def together(self, *wanted: tuple[str, Message]) -> list[Message]:
        """Messages of one transaction, in whatever order they come."""
        await self._system.wait_until(
            lambda: all(self._find(*one) is not None for one in wanted),
            on_timeout=lambda: f"not seen: {wanted}; seen: {self._messages[self._at :]}",
        )
        places = [place for one in wanted if (place := self._find(*one)) is not None]
        self._at = max(places) + 1
        return [self._messages[place][1] for place in places]

    def all(self, subject: str) -> list[Message]:
        """What was said there, each thing once: the outbox may say again what it is not sure of."""
        unique: list[Message] = []
        for named, said in self._messages:
            if fnmatch.fnmatchcase(named, subject) and said not in unique:
                unique.append(said)
        return unique

    def any(self, subject: str, **fields: Any) -> bool:
        """Whether there has been one at all, wherever."""
        at, self._at = self._at, 0
        found = self._find(subject, fields)
        self._at = at
        return found is not None


class World:
    def __init__(self, system: Processes, edge: Edge, stops: Stops, bus: Client, s3: Any) -> None:
        self.system, self.edge, self.stops, self._bus, self._s3 = system, edge, stops, bus, s3
        self.datasets, self.sessions, self.arrows = Datasets(edge), Sessions(edge), Arrows(system)
        self._holder = 0

    async def rows(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        """As the database's administrator: `schema.table`."""
        return [dict(row) for row in await self.stops.db.fetch(query, *arguments)]

    async def row(self, query: str, *arguments: Any) -> dict[str, Any]:
        (found,) = await self.rows(query, *arguments)
        return found

    @asynccontextmanager
    async def held(self, query: str, *arguments: Any) -> AsyncIterator[None]:
        """Holds the rows that the query locks: who is about to change one waits, and what came before that can be seen."""
        db = await asyncpg.connect(self.system.stack.postgres.url("headrace"))
        try:
            async with db.transaction():
                assert await db.fetch(query, *arguments)
                self._holder = db.get_server_pid()
                yield
        finally:
            await db.close()

    async def waited_for(self) -> None:
        """Until somebody waits for what is `held`."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))"

        async def waits() -> bool:
            return bool(await self.stops.db.fetchval(query, self._holder))

        await self.system.wait_until(waits, on_timeout="nobody waits for it")

    async def queued(self, session: str) -> int:
        """Messages with tasks of a session that the queue holds."""
        subject = f"hr.task.*.*.{session}"
        state = (await self._bus.jetstream().stream_info("TASKS", subjects_filter=subject)).state
        return sum((state.subjects or {}).values())

    async def objects(self, prefix: str) -> dict[str, bytes]:
        """Whatever lies under the prefix in the bucket, but for its marker."""
        found: dict[str, bytes] = {}
        async for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
            for entry in page.get("Contents", ()):
                if entry["Key"] == MARKER:
                    continue
                answer = await self._s3.get_object(Bucket=BUCKET, Key=entry["Key"])
                found[entry["Key"]] = await answer["Body"].read()
        return found

    async def store(self, key: str, data: bytes) -> None:
        """Past all services."""
        await self._s3.put_object(Bucket=BUCKET, Key=key, Body=data)

    @property
    def lts(self) -> Path:
        return self.system.stack.home.path / "lts"

    def on_lts(self, dataset: str) -> dict[str, bytes]:
        """A dataset's files on long-term storage, by the names under its folder."""
        root = self.lts / "data/datasets" / dataset / "datablocks"
        return {path.name: path.read_bytes() for path in root.glob("*") if path.is_file()}

    async def dead(self) -> list[Any]:
        """Messages that nobody could handle."""
        return list((await self.edge.get("/ops/v1/dead"))["items"])


@asynccontextmanager
async def watching(system: Processes, subject: str = "hr.>") -> AsyncIterator[World]:
    """Watches a system that runs, until the end of the block.

    Whoever listens to `hr.rpc.>` counts as somebody who could answer: requests to a service that is away are not refused at
    once, but wait for their time-out. Where services are killed, `hr.evt.>` has to do.
    """
    stops, bus = await Stops.on(system), await system.bus()
    try:
        async with of_stack(system.stack).s3_client() as s3, Edge(system.http, system.token) as edge:
            world = World(system, edge, stops, bus, s3)
            await bus.subscribe(subject, cb=world.arrows.take)
            await settled(bus)
            yield world
    finally:
        await bus.close()
        await stops.close()


@asynccontextmanager
async def observed(
    subject: str = "hr.>",
    *,
    workers: int = 0,
    env: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    imports: Collection[str] = (),
) -> AsyncIterator[World]:
    """A system of its own, watched from the moment at which it is ready. Its workers have one slot each, and the functions of
    the tests. `env`: settings of a service, by its name. `imports`: prefixes from which objects may be imported."""
    with folder() as home:
        async with Processes(home, imports=imports) as system:
            await system.start(workers=workers, app=FUNCTIONS, slots=1, env=env)
            async with watching(system, subject) as world:
                yield world
