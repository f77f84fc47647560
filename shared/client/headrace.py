"""The client: one object, from which everything of the HTTP edge is reached."""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import httpx

from shared.client.address import Address, find
from shared.client.datasets import Datasets
from shared.client.events import Event, follow
from shared.client.http import Http, Patience
from shared.client.object_storage import ObjectStorage
from shared.client.operations import Operations
from shared.client.results import Results
from shared.client.retrievals import Retrievals
from shared.client.sessions import Id, Sessions
from shared.client.tasks import Tasks


class Headrace:
    """`async with Headrace() as headrace: session = await headrace.sessions.create("square")`.

    address    where Headrace is; if not given it is found as the command finds it (`address.find`)
    patience   how long an outage is waited for; what has to happen once happens once
    transport  of httpx, for tests

    sessions, tasks, results, datasets, retrievals, operations   the nouns of the edge
    http             any other request
    object_storage   connections to addresses that were signed
    Every error is a ClientError (`shared/client/errors.py`).
    """

    def __init__(
        self,
        address: Address | None = None,
        *,
        patience: Patience = Patience(),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.http = Http(address or find(), patience, transport)
        self.object_storage = ObjectStorage()
        self.sessions = Sessions(self.http)
        self.tasks = Tasks(self.http)
        self.results = Results(self.http)
        self.datasets = Datasets(self.http)
        self.retrievals = Retrievals(self.http)
        self.operations = Operations(self.http)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self.object_storage.close()
        await self.http.close()

    def events(self, *, session: Id | None = None, from_start: bool = False, after: str = "") -> AsyncIterator[Event]:
        """What happens (docs/events.md), without end; a lost connection goes on where it was.

        session     only what happens in this one
        from_start  first all that the stream still holds
        after       first what has come since the event with this id
        """
        name = None if session is None else str(session)
        return follow(self.http, "/events", from_start=from_start, after=after, session=name)
