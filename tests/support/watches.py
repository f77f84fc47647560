"""Those who watch a session, over SSE and over NATS."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import msgspec
from nats.aio.client import Client

from shared.contracts import subjects
from shared.contracts.errors import ErrorBody
from shared.contracts.events import Frame
from tests.support.gateway_rig import Gateway
from tests.support.wait import LIMIT

Words = tuple[str, Any]


class Watcher:
    """`told`: (event, data) in order; `id`: where a client that comes back goes on."""

    def __init__(self, last: str) -> None:
        self.received: list[Words] = []
        self.id, self.greeted = last, asyncio.Event()

    async def read(self, response: httpx.Response) -> None:
        rest = ""
        async for text in response.aiter_text():
            *blocks, rest = (rest + text).split("\n\n")
            for block in blocks:
                fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
                self.id = fields.get("id", self.id)
                if "data" in fields:
                    self.received.append((fields["event"], msgspec.json.decode(fields["data"])))
                if "retry" in fields:
                    self.greeted.set()

    @property
    def names(self) -> list[str]:
        return [event for event, _ in self.received]

    def completed(self) -> list[int]:
        """The tasks that events, not the snapshot, have told of."""
        return [
            UUID(t).int for event, data in self.received if event == "task.changed" for t in data.get("completed", [])
        ]


@asynccontextmanager
async def watching(http: httpx.AsyncClient, session: UUID, last: str = "", **query: str) -> AsyncIterator[Watcher]:
    watcher = Watcher(last)
    headers = {"Last-Event-ID": last} if last else {}
    async with http.stream("GET", f"/compute/v1/sessions/{session}/watch", params=query, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        reading = asyncio.create_task(watcher.read(response))
        await asyncio.wait_for(watcher.greeted.wait(), LIMIT)
        try:
            yield watcher
        finally:
            reading.cancel()
            await asyncio.wait([reading])


async def tell(gateway: Gateway, session: UUID, *numbers: int) -> None:
    for number in numbers:
        frame = Frame(session, completed=[UUID(int=number)], results=[UUID(int=number + 1000)])
        await gateway.scheduler.bus.publish(subjects.event("task", "changed", session), frame)


async def ask(client: Client, what: str, **asked: Any) -> Any:
    """The answer; or, of an error, its code and field."""
    answer = await client.request(subjects.watch("alice", what), msgspec.json.encode(asked), timeout=20)
    if answer.headers and "Nats-Service-Error-Code" in answer.headers:
        error = msgspec.json.decode(answer.data, type=ErrorBody)
        return error.code, error.field
    return msgspec.json.decode(answer.data)


async def whole(client: Client, **asked: Any) -> Any:
    """The answers of a snapshot as one."""
    received = await ask(client, "session", **asked)
    while received["events"][-1]["event"] != "snapshot.end":
        more = await ask(client, "session", **{**asked, "place": received["place"]})
        received = {"events": received["events"] + more["events"], "place": more["place"]}
    return received
