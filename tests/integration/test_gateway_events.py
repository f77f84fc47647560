"""Server-sent events: nothing lost, nothing twice, whatever happens to the connection or to the bus."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest

from deploy.local.s3 import BUCKET
from deploy.local.stack import Stack
from shared.bus import topology
from shared.contracts import subjects
from shared.contracts.events import Frame
from tests.support.buckets import Bucket
from tests.support.databases import Database
from tests.support.gateway_rig import Gateway, running
from tests.support.servers import Servers, of_stack
from tests.support.wait import LIMIT, wait_until


@pytest.fixture
async def gateway(nats: Servers, database: Database, s3: Bucket, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with running(nats, database, s3, tmp_path) as started:
        yield started


class Listener:
    """Reads a stream in the background. `events`: (id, event, data)."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, Any]] = []
        self.id = ""
        self.writes = 0
        self.greeted = asyncio.Event()

    async def read(self, response: httpx.Response) -> None:
        rest = ""
        async for text in response.aiter_text():
            self.writes += 1
            *blocks, rest = (rest + text).split("\n\n")
            for block in blocks:
                self._take(block)

    def _take(self, block: str) -> None:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        self.id = fields.get("id", self.id)
        if "data" in fields:
            self.events.append((fields["id"], fields["event"], msgspec.json.decode(fields["data"])))
        if block.startswith(": connected"):
            assert "retry" in fields
            self.greeted.set()

    @property
    def tasks(self) -> list[int]:
        """The numbers that `tell` put in."""
        return [UUID(one).int for _, event, data in self.events if event == "task.changed" for one in data["completed"]]


@asynccontextmanager
async def listening(
    http: httpx.AsyncClient, headers: dict[str, str] | None = None, **query: str
) -> AsyncIterator[Listener]:
    """The stream, from its first byte on until the end of the block."""
    listener = Listener()
    async with http.stream("GET", "/events", params=query, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream"
        reading = asyncio.create_task(listener.read(response))
        await asyncio.wait_for(listener.greeted.wait(), LIMIT)
        try:
            yield listener
        finally:
            reading.cancel()
            await asyncio.wait([reading])


async def tell(gateway: Gateway, session: UUID, *numbers: int) -> None:
    for number in numbers:
        frame = Frame(session, completed=[UUID(int=number)])
        await gateway.scheduler.bus.publish(subjects.event("task", "changed", session), frame)


async def test_who_subscribes_and_then_acts_misses_nothing(gateway: Gateway) -> None:
    session, other = gateway.scheduler.session().id, gateway.scheduler.session().id
    await tell(gateway, session, 1)
    async with listening(gateway.http, session=str(session)) as one, listening(gateway.http) as everything:
        await tell(gateway, session, 2, 3)
        await tell(gateway, other, 4)
        await tell(gateway, session, 5)
        await wait_until(lambda: one.tasks == [2, 3, 5], on_timeout=lambda: one.events)
        await wait_until(lambda: everything.tasks == [2, 3, 4, 5], on_timeout=lambda: everything.events)


async def test_last_event_id_resumes_without_loss(gateway: Gateway) -> None:
    session = gateway.scheduler.session().id
    async with listening(gateway.http, session=str(session)) as first:
        pass
    await tell(gateway, session, 1, 2)
    async with listening(gateway.http, {"Last-Event-ID": first.id}, session=str(session)) as second:
        await wait_until(lambda: second.tasks == [1, 2])
    await tell(gateway, session, 3, 4)
    async with listening(gateway.http, session=str(session), last_event_id=second.events[0][0]) as third:
        await wait_until(lambda: third.tasks == [2, 3, 4])
    async with listening(gateway.http, session=str(session), **{"from": "start"}) as fourth:
        await wait_until(lambda: fourth.tasks == [1, 2, 3, 4])
    async with listening(gateway.http, {"Last-Event-ID": "17-3"}, session=str(session)) as other_incarnation:
        await wait_until(lambda: other_incarnation.tasks == [1, 2, 3, 4])
    ahead = f"{first.id.partition('-')[0]}-999999"
    async with listening(gateway.http, {"Last-Event-ID": ahead}, session=str(session)) as lost_tail:
        await tell(gateway, session, 5)
        await wait_until(lambda: lost_tail.tasks == [5])


async def test_users_see_their_own_sessions_only(gateway: Gateway) -> None:
    theirs = gateway.scheduler.session("admin").id
    async with await gateway.user("ada") as ada:
        mine = gateway.scheduler.session("ada").id
        async with listening(ada) as listener:
            await tell(gateway, theirs, 1)
            await tell(gateway, mine, 2)
            await tell(gateway, theirs, 3)
            await tell(gateway, uuid4(), 4)
            await tell(gateway, mine, 5)
            await wait_until(lambda: listener.tasks == [2, 5])
        asked = [request.session for _, request in gateway.scheduler.asked("session.get")]
        assert asked.count(theirs) == 1


async def test_a_stream_made_again_is_read_from_its_start(gateway: Gateway) -> None:
    session = gateway.scheduler.session().id
    async with listening(gateway.http, session=str(session)) as listener:
        await tell(gateway, session, 1, 2)
        await wait_until(lambda: listener.tasks == [1, 2])
        bus = gateway.scheduler.bus
        await gateway.servers.forget("EVENTS")
        await topology.apply(bus)
        await tell(gateway, session, 3)
        await wait_until(lambda: listener.tasks == [1, 2, 3])
        assert listener.events[-1][0].partition("-")[0] != listener.events[0][0].partition("-")[0]


async def test_many_events_are_merged_into_few_writes(gateway: Gateway) -> None:
    session = gateway.scheduler.session().id
    async with listening(gateway.http, session=str(session)) as listener:
        ids = [UUID(int=n) for n in range(200)]
        subject = subjects.event("task", "changed", session)
        sent = [await gateway.scheduler.bus.send(subject, Frame(session, completed=ids)) for _ in range(500)]
        await asyncio.gather(*sent)
        await wait_until(lambda: len(listener.tasks) == 100_000)
        assert listener.tasks == list(range(200)) * 500


async def test_streams_end_when_the_gateway_stops(gateway: Gateway) -> None:
    async with listening(gateway.http) as listener:
        assert not listener.events
        gateway.stop.set()

        async def refused() -> bool:
            try:
                await gateway.http.get("/health/live")
            except httpx.TransportError:
                return True
            return False

        await wait_until(refused, timeout=4)


async def test_a_restart_of_the_bus_loses_nothing(home: Path, tmp_path: Path) -> None:
    async with Stack(home, throwaway=True) as stack:
        servers = of_stack(stack)
        bucket = Bucket(servers.s3_endpoint, servers.s3_access_key, servers.s3_secret_key, servers.s3_region, BUCKET)
        async with running(servers, Database(servers, "headrace"), bucket, tmp_path) as gateway:
            session = gateway.scheduler.session().id
            async with listening(gateway.http, session=str(session)) as listener:
                await tell(gateway, session, 1, 2)
                await wait_until(lambda: listener.tasks == [1, 2])
                await stack.kill_server("nats")
                telling = asyncio.create_task(tell(gateway, session, 3))
                await stack.start_server("nats")
                await telling
                await tell(gateway, session, 4)
                await wait_until(lambda: listener.tasks == [1, 2, 3, 4], on_timeout=lambda: listener.tasks)
