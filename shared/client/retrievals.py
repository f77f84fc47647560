"""Retrievals: datasets brought back from long-term storage."""

from collections.abc import AsyncIterator, Iterable
from uuid import UUID

from shared.client.errors import FailedError
from shared.client.http import Http
from shared.client.paging import items
from shared.client.paths import DATA
from shared.client.polling import Pause
from shared.client.sessions import Id
from shared.contracts.ids import uuid7
from shared.contracts.retrieval import Download, Downloads, RequestedFile, Retrieval, RetrievalCreate


class Retrievals:
    """Retrievals, as the contracts have them (`shared/contracts/retrieval.py`)."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def create(
        self, pid: str, *, session: UUID | None = None, results: Iterable[RequestedFile] = ()
    ) -> Retrieval:
        """Begins to bring a dataset back. With `session`, it gives `results` of that session the files as their values."""
        asked = RetrievalCreate(pid, uuid7(), session=session, results=list(results))
        return await self._http.ask("POST", f"{DATA}/retrievals", Retrieval, body=asked)

    async def get(self, retrieval: Id) -> Retrieval:
        """How a retrieval goes; NotFoundError if there is none."""
        return await self._http.ask("GET", f"{DATA}/retrievals/{retrieval}", Retrieval)

    async def wait(self, retrieval: Id) -> Retrieval:
        """The retrieval when it is done, or `partial` if datablocks are damaged. FailedError if it has failed."""
        pause = Pause()
        while (found := await self.get(retrieval)).status not in ("done", "partial"):
            if found.status in ("failed", "cancelled"):
                raise FailedError(f"{found.pid} could not be retrieved: {found.error or found.status}")
            await pause()
        return found

    def downloads(self, retrieval: Id) -> AsyncIterator[Download]:
        """Where its datablocks can be downloaded. The addresses are secrets, and expire."""
        return items(self._http, f"{DATA}/retrievals/{retrieval}/urls", Downloads, size=100)
