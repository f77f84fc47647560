"""A real scheduler in this process, on real NATS and PostgreSQL, and real workers with functions that the test holds."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import msgspec
from nats.aio.msg import Msg

from deploy.local import database as databases
from services.scheduler.app import main
from services.scheduler.settings import ImportSettings, LeaseSettings, Settings
from shared.bus.client import Bus, BusSettings
from shared.contracts import compute as c
from shared.contracts import headers as h
from shared.contracts import ids, subjects
from shared.contracts.events import Frame
from shared.contracts.health import Health, HealthCheck
from shared.objects.port import Objects
from shared.objects.s3 import open_objects
from shared.objects.settings import ObjectsSettings
from shared.service.bootstrap import ServiceSettings
from shared.worker import App
from shared.worker.agent import Agent
from shared.worker.children import Children
from shared.worker.commands import Commands
from tests.support.buckets import new_bucket
from tests.support.compute_functions import PATH
from tests.support.databases import Database
from tests.support.servers import Servers
from tests.support.speaking import speaking
from tests.support.wait import LIMIT, wait_until

T = TypeVar("T")
ENDS = ("completed", "error", "timeout", "cancelled")
LEASE = 2.0
IMPORTABLE = "shared/"
"""Under which the schedulers here let users import objects."""


class Rig:
    """`ask` speaks as `user`, as the gateway would; `events`: all that was told, in order; `objects`: the scheduler's bucket."""

    def __init__(
        self, servers: Servers, database: Database, bus: Bus, objects: Objects, storage: ObjectsSettings
    ) -> None:
        self.servers, self.database, self.bus = servers, database, bus
        self.objects, self.storage = objects, storage
        self.events: list[Msg] = []

    async def ask(
        self,
        name: str,
        request: Any,
        reply: type[T],
        *,
        user: str = "ann",
        key: str = "",
        headers: dict[str, str] | None = None,
    ) -> T:
        """`name`: noun and verb, such as `session.get`."""
        subject = subjects.rpc("scheduler", *name.split("."))
        sent = speaking(self.servers.keys, user, subject) | ({h.IDEMPOTENCY_KEY: key} if key else {}) | (headers or {})
        return await self.bus.request(subject, request, reply, headers=sent, timeout=20)

    # -- what users do

    async def session(self, partition: str = "default", user: str = "ann", **options: Any) -> UUID:
        asked = c.SessionCreate([partition], c.Options(**options))
        return (await self.ask("session.create", asked, c.Session, user=user)).id

    async def partition(self) -> str:
        """A partition of this test alone."""
        name = f"p{uuid4().hex[:12]}"
        await self.ask("partition.create", c.PartitionCreate(name), c.Partition, user="admin")
        return name

    async def submit(
        self, session: UUID, tasks: Sequence[c.TaskSpec], *, id: UUID | None = None, user: str = "ann", **options: Any
    ) -> UUID:
        """A whole submission; its id."""
        asked = c.SubmissionCreate(session, list(tasks), id, c.Options(**options) if options else None)
        return (await self.ask("submission.create", asked, c.Submission, user=user)).id

    async def chunk(
        self,
        session: UUID,
        submission: UUID,
        number: int,
        first: int,
        lines: Sequence[c.TaskSpec] | bytes,
        *,
        last: bool = False,
        options: c.Options | None = None,
        user: str = "ann",
    ) -> c.Submission:
        data = lines if isinstance(lines, bytes) else b"\n".join(msgspec.json.encode(spec) for spec in lines)
        headers = {h.SESSION: str(session), h.SUBMISSION: str(submission), h.CHUNK: str(number), h.FIRST: str(first)}
        if last:
            headers[h.LAST] = "1"
        if options is not None:
            headers[h.OPTIONS] = msgspec.json.encode(options).decode()
        return await self.ask("submission.chunk", data, c.Submission, headers=headers, user=user)

    async def result(
        self,
        session: UUID,
        data: bytes | None = None,
        *,
        id: UUID | None = None,
        object: str | None = None,
        size: int = 0,
    ) -> UUID:
        asked = c.ResultCreate(session, [c.NewResult(id=id, data=data, object=object, size=size)])
        return (await self.ask("result.create", asked, c.ResultList)).results[0].id

    async def complete(self, result: UUID, data: bytes) -> c.Result:
        return await self.ask("result.complete", c.ResultComplete(result, data=data), c.Result)

    # -- what users see

    async def task(self, task: UUID) -> c.Task:
        return await self.ask("task.get", c.TaskRef(task), c.Task)

    async def value(self, result: UUID) -> bytes:
        value = await self.ask("result.value", c.ResultRef(result), c.Value)
        if value.object is not None:
            return await self.objects.read(value.object, limit=value.size)
        assert value.data is not None
        return value.data

    async def status(self, task: UUID) -> str:
        return (await self.task(task)).status

    async def result_status(self, result: UUID) -> str:
        return (await self.ask("result.get", c.ResultRef(result), c.Result)).status

    async def counts(self, session: UUID) -> c.Counts:
        found = (await self.ask("session.get", c.SessionGet(session, counts=True), c.Session)).tasks
        assert found is not None
        return found

    async def until(self, task: UUID, *statuses: str, timeout: float = 20) -> c.Task:
        """Waits until a task is in one of these states (in an end, if none is named)."""

        async def there() -> c.Task | None:
            seen = await self.task(task)
            return seen if seen.status in (statuses or ENDS) else None

        found = await wait_until(there, timeout=timeout, on_timeout=lambda: self.task(task))
        assert found is not None
        return found

    async def all_ended(self, session: UUID, timeout: float = 30) -> c.Counts:
        """Waits until every task of a session has ended."""

        async def ended() -> c.Counts | None:
            n = await self.counts(session)
            return n if n.total and n.completed + n.failed + n.cancelled == n.total else None

        found = await wait_until(ended, timeout=timeout, on_timeout=lambda: self.counts(session))
        assert found is not None
        return found

    def received(self, subject: str) -> list[bytes]:
        """The bodies of the events so far on a subject."""
        return [message.data for message in self.events if message.subject == subject]

    def frames(self, session: UUID) -> list[Frame]:
        bodies = self.received(subjects.event("task", "changed", session))
        return [msgspec.json.decode(body, type=Frame) for body in bodies]

    def framed(self, session: UUID, field: str) -> list[UUID]:
        """All ids that frames told in one field."""
        return [id for frame in self.frames(session) for id in getattr(frame, field)]

    # -- workers

    @asynccontextmanager
    async def worker(
        self,
        app: App,
        *,
        partition: str = "default",
        slots: int = 4,
        name: str = "",
        objects: Objects | None = None,
        commands: bool = False,
    ) -> AsyncIterator["Worker"]:
        """`partition`: one, or several with commas between them. `commands`: it runs tasks of `exec`."""
        bus = await Bus.connect(BusSettings(**self.servers.bus("worker")), "worker", apply_topology=False)
        children = Children(PATH)
        called = name or f"w{uuid4().hex[:8]}"
        storage, partitions = objects or self.objects, partition.split(",")
        execs = Commands(storage) if commands else None
        agent = Agent(bus, storage, app, children, name=called, partitions=partitions, slots=slots, commands=execs)
        worker = Worker(called, agent, bus)
        try:
            await wait_until(lambda: self._known(called), on_timeout="the scheduler does not see the worker")
            yield worker
            await worker.end()
        finally:
            await worker.kill()
            await children.close()
            if execs is not None:
                await execs.close()

    async def _known(self, worker: str) -> bool:
        """Whether a worker's first heartbeat has been stored."""
        admin = await asyncpg.connect(self.database.admin_url)
        try:
            return bool(await admin.fetchval("SELECT 1 FROM scheduler.workers WHERE name = $1", worker))
        finally:
            await admin.close()


class Worker:
    """A worker that runs. `kill`: it dies without a word; `end`: it is told to stop, and drains."""

    def __init__(self, name: str, agent: Agent, bus: Bus) -> None:
        self.name, self._bus, self._stop = name, bus, asyncio.Event()
        self._running = asyncio.create_task(agent.run(self._stop))

    async def kill(self) -> None:
        self._running.cancel()
        await self._bus.close()

    async def end(self) -> None:
        self._stop.set()
        await asyncio.wait([self._running])
        if not self._running.cancelled():
            self._running.result()


@asynccontextmanager
async def new_database(servers: Servers) -> AsyncIterator[Database]:
    """As the fixture `database`, for fixtures that live longer than a test."""
    made = Database(servers, f"test_{uuid4().hex[:16]}")
    admin = await asyncpg.connect(servers.postgres_url)
    try:
        await databases.create(admin, made.name)
        inside = await asyncpg.connect(made.admin_url)
        await databases.schemas(inside)
        await inside.close()
        yield made
        await databases.drop(admin, made.name)
    finally:
        await admin.close()


async def forget_streams(servers: Servers) -> None:
    client = await servers.connect()
    try:
        jetstream = client.jetstream()
        for stream in await jetstream.streams_info():
            assert stream.config.name is not None
            await jetstream.delete_stream(stream.config.name)
    finally:
        await client.close()


@asynccontextmanager
async def scheduler(
    servers: Servers, database: Database, storage: ObjectsSettings, *, lease: float = LEASE
) -> AsyncIterator[asyncio.Event]:
    """The scheduler of the product, until the end of the block."""
    settings = Settings(
        ServiceSettings(**servers.bus("scheduler"), database_url=database.url("scheduler")),
        storage,
        LeaseSettings(lease_seconds=lease, beat_seconds=0.2, recovery_seconds=0.05),
        ImportSettings(import_prefixes=IMPORTABLE),
    )
    stop = asyncio.Event()
    running = asyncio.create_task(main(settings, stop))
    try:
        yield stop
    finally:
        stop.set()
        await asyncio.wait_for(running, LIMIT)


@asynccontextmanager
async def open_rig(servers: Servers) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        await forget_streams(servers)
        database = await stack.enter_async_context(new_database(servers))
        bucket = await stack.enter_async_context(new_bucket(servers))
        storage = ObjectsSettings(**msgspec.structs.asdict(bucket), s3_patience=2.0)
        objects = await stack.enter_async_context(open_objects(storage))
        await stack.enter_async_context(scheduler(servers, database, storage))
        bus = await Bus.connect(BusSettings(**servers.bus("admin")), "test", apply_topology=False)
        stack.push_async_callback(bus.close)
        rig = Rig(servers, database, bus, objects, storage)

        async def hear(message: Msg) -> None:
            rig.events.append(message)

        await bus.nc.subscribe("hr.evt.>", cb=hear)

        async def up() -> bool:
            try:
                return (await rig.ask("health.check", HealthCheck(), Health)).ok
            except Exception:
                return False

        await wait_until(up)
        yield rig


def spec(function: str = "note", payload: Any = None, inputs: Iterable[object] = (), **more: Any) -> c.TaskSpec:
    """A line of a submission."""
    options = c.Options(function=function, **more.pop("options", {}))
    raw = msgspec.Raw(msgspec.json.encode(payload))
    return c.TaskSpec(raw, inputs=[str(one) for one in inputs], options=options, **more)


__all__ = ["ENDS", "Rig", "ids", "open_rig", "scheduler", "spec"]
