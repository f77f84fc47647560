"""A gateway on real servers, with stand-ins for the other services: what they are asked is kept, what they answer is set."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec

from services.gateway.app import run
from services.gateway.http.connection.limits import Limits
from services.gateway.settings import Settings
from shared.bus.client import Bus, BusSettings
from shared.contracts import compute as c
from shared.contracts.endpoint import Endpoint
from shared.contracts.endpoints import compute as e
from shared.contracts.endpoints.health import CHECK
from shared.contracts.endpoints.sites import SITE_ENTER, SITE_PARTITION
from shared.contracts.errors import NotFound
from shared.contracts.health import Health, HealthCheck
from shared.contracts.ids import uuid7
from shared.objects.settings import ObjectsSettings
from shared.service.context import Context
from shared.service.service import Service
from tests.support.buckets import Bucket
from tests.support.databases import Database
from tests.support.servers import Servers
from tests.support.stand_in import stand_in
from tests.support.wait import LIMIT, wait_until

TOKEN = "the-admin-token-of-the-tests"
NOW = "2026-01-01T00:00:00.000000Z"


class Scheduler:
    """Answers like the real one, from a dict. `seen`: (action, context, request) in the order of arrival."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self._service: Service | None = None
        self.seen: list[tuple[str, Context, Any]] = []
        self.sessions: dict[UUID, c.Session] = {}
        self.keys: dict[str, c.Session] = {}
        self.results: dict[UUID, c.Result] = {}
        self.values: dict[UUID, c.Value] = {}
        self.states: dict[str, c.States] = {}
        """Pages by their token; on a page are ids that nobody has asked to leave out."""
        self.failing: dict[str, Exception] = {}
        self.holding: dict[str, asyncio.Event] = {}

    def asked(self, action: str) -> list[tuple[Context, Any]]:
        return [(ctx, request) for name, ctx, request in self.seen if name == action]

    def session(self, owner: str = "admin") -> c.Session:
        made = c.Session(
            uuid7(), "", "running", owner, ["default"], c.Options(), True, True, NOW, None, 1, c.Counts(total=3)
        )
        self.sessions[made.id] = made
        return made

    def result(self, session: UUID, status: str = "created") -> c.Result:
        made = c.Result(uuid7(), session, "", status, None, "", 0, NOW, None)
        self.results[made.id] = made
        return made

    async def start(self) -> None:
        service = self._service = Service(self.bus, None, "scheduler", "0.0.1", "stand-in")
        for endpoint, answer in self._table():
            service.on(stand_in(endpoint), self._recording(f"{endpoint.noun}.{endpoint.verb}", answer))
        service.on(CHECK["scheduler"], healthy("scheduler"))
        await service.start()

    async def stop(self) -> None:
        if self._service is not None:
            await self._service.stop()
            self._service = None

    def _table(self) -> list[tuple[Endpoint[Any, Any], Callable[[Context, Any], Any]]]:
        return [
            (e.SESSION_CREATE, self._create),
            (e.SESSION_GET, self._session),
            (e.SESSION_STATES, self._states),
            (e.SESSION_LIST, lambda *_: c.SessionPage(list(self.sessions.values()))),
            (e.SESSION_CLOSE, self._session),
            (e.PARTITION_LIST, lambda *_: c.PartitionPage([c.Partition("default", 1, 2, 0)])),
            (e.PARTITION_CREATE, lambda _, asked: c.Partition(asked.name, 0, 0, 0)),
            (e.PARTITION_GET, lambda _, asked: c.Partition(asked.name, 1, 2, 0, functions=["echo"])),
            (SITE_ENTER, lambda _, asked: c.Partition(asked.name, 0, 0, 0)),
            (SITE_PARTITION, lambda _, asked: c.Partition(asked.name, 1, 2, 0, functions=["echo"])),
            (e.PARTITION_UPDATE, lambda _, asked: c.Partition(asked.name, 0, 0, 0)),
            (e.PARTITION_DELETE, lambda _, asked: c.Partition(asked.name, 0, 0, 0)),
            (e.RESULT_CREATE, self._create_results),
            (e.RESULT_GET, lambda _, asked: _found(self.results, asked.result, "result")),
            (e.RESULT_LIST, lambda *_: c.ResultPage(list(self.results.values()))),
            (e.RESULT_COMPLETE, self._complete),
            (e.RESULT_IMPORT, lambda *_: c.ResultList(list(self.results.values()))),
            (e.RESULT_DELETE, lambda *_: c.ResultList(list(self.results.values()))),
            (e.RESULT_WAIT, lambda _, asked: c.ResultWaited(False, {}, asked.results)),
            (e.RESULT_VALUE, lambda _, asked: _found(self.values, asked.result, "result")),
            (e.SUBMISSION_CREATE, self._submission),
            (e.SUBMISSION_CHUNK, self._chunk),
            (e.TASK_LIST, lambda *_: c.TaskPage([])),
        ]

    def _recording(
        self, action: str, answer: Callable[[Context, Any], Any]
    ) -> Callable[[Context, Any], Awaitable[Any]]:
        async def handle(ctx: Context, request: Any) -> Any:
            self.seen.append((action, ctx, request))
            if held := self.holding.get(action):
                await held.wait()
            if error := self.failing.get(action):
                raise error
            return answer(ctx, request)

        return handle

    def _create(self, ctx: Context, _: c.SessionCreate) -> c.Session:
        made = self.keys.get(ctx.key) or self.session(ctx.user)
        if ctx.key:
            self.keys[ctx.key] = made
        return made

    def _session(self, ctx: Context, asked: c.SessionRef) -> c.Session:
        found = _found(self.sessions, asked.session, "session")
        if found.owner != ctx.user and not ctx.is_admin:
            raise NotFound(f"no session {asked.session}", field="session")
        return found

    def _states(self, ctx: Context, asked: c.StatesQuery) -> c.States:
        self._session(ctx, c.SessionRef(asked.session))
        page = self.states.get(asked.token, c.States(asked.session))
        if asked.tasks is None and asked.results is None:
            return page
        wanted = {*(asked.tasks or []), *(asked.results or [])}
        tasks, results = (
            {state: [one for one in ids if one in wanted] for state, ids in named.items()}
            for named in (page.tasks, page.results)
        )
        return c.States(asked.session, tasks, results)

    def _create_results(self, _: Context, asked: c.ResultCreate) -> c.ResultList:
        return c.ResultList([self.result(asked.session) for _ in asked.results])

    def _complete(self, _: Context, asked: c.ResultComplete) -> c.Result:
        found = _found(self.results, asked.result, "result")
        self.values[found.id] = c.Value(found.id, asked.size, asked.data, asked.object, asked.sha256 or "")
        self.results[found.id] = msgspec.structs.replace(found, status="completed", size=asked.size)
        return self.results[found.id]

    def _submission(self, _: Context, asked: c.SubmissionCreate) -> c.Submission:
        assert asked.id is not None
        return c.Submission(asked.id, asked.session, "visible", 1, len(asked.tasks))

    def _chunk(self, ctx: Context, lines: bytes) -> c.Submission:
        return c.Submission(
            UUID(ctx.headers["Hr-Submission"]), UUID(ctx.headers["Hr-Session"]), "open", 1, lines.count(b"\n") + 1
        )


def _found(where: dict[UUID, Any], key: UUID, noun: str) -> Any:
    if key not in where:
        raise NotFound(f"no {noun} {key}", field=noun)
    return where[key]


def healthy(name: str) -> Callable[[Context, HealthCheck], Awaitable[Health]]:
    async def check(_: Context, __: HealthCheck) -> Health:
        return Health(name, "0.0.1", True, {"database": "ok"}, NOW)

    return check


class Gateway:
    """`http`: a client with the admin's token."""

    def __init__(self, servers: Servers, url: str, scheduler: Scheduler, http: httpx.AsyncClient) -> None:
        self.servers, self.url, self.scheduler, self.http = servers, url, scheduler, http
        self.stop = asyncio.Event()

    def client(self, token: str | None) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=20)

    async def user(self, name: str, *roles: str) -> httpx.AsyncClient:
        """A client of a new user."""
        made = await self.http.post("/ops/v1/users", json={"name": name, "roles": list(roles or ["user"])})
        assert made.status_code == 201, made.text
        return self.client(made.json()["token"])


@asynccontextmanager
async def running(
    servers: Servers,
    database: Database,
    s3: Bucket,
    folder: Path,
    *,
    stand_in: bool = True,
    limits: Limits | None = None,
) -> AsyncIterator[Gateway]:
    """A gateway and what it needs, until the end of the block. `stand_in`: for the scheduler too; there is a real one otherwise.

    `limits`: of connections, if not the usual ones.
    """
    token = folder / "token"
    token.write_text(TOKEN)
    port = free_port()
    settings = Settings(
        **servers.bus("gateway"),
        database_url=database.url("gateway"),
        http_port=port,
        admin_token_file=str(token),
    )
    storage = ObjectsSettings(**msgspec.structs.asdict(s3), s3_patience=2.0)
    async with AsyncExitStack() as stack:
        scheduler = Scheduler(await _bus(stack, servers, "scheduler"))
        if stand_in:
            await scheduler.start()
        stack.push_async_callback(scheduler.stop)
        for name in ("archiver", "retriever", "broker"):
            service = Service(await _bus(stack, servers, name), None, name, "0.0.1", "stand-in")
            service.on(CHECK[name], healthy(name))
            await service.start()
            stack.push_async_callback(service.stop)
        http = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}",
                headers={"Authorization": f"Bearer {TOKEN}"},
                trust_env=False,
                timeout=20,
            )
        )
        gateway = Gateway(servers, f"http://127.0.0.1:{port}", scheduler, http)
        task = asyncio.create_task(run(settings, storage, gateway.stop, limits))
        try:
            await wait_until(lambda: _answers(http, task))
            yield gateway
        finally:
            gateway.stop.set()
            await asyncio.wait_for(task, LIMIT)


async def _bus(stack: AsyncExitStack, servers: Servers, name: str) -> Bus:
    bus = await Bus.connect(BusSettings(**servers.bus(name)), name, apply_topology=name != "broker")
    stack.push_async_callback(bus.close)
    return bus


async def _answers(http: httpx.AsyncClient, task: "asyncio.Task[None]") -> bool:
    if task.done():
        task.result()
    try:
        return (await http.get("/health/live")).status_code == 200
    except httpx.TransportError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
