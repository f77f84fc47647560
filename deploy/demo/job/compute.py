"""The session at the site: a task for each file, which waits until the file has come back from long-term storage, and one
that waits for all of them."""

from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from shared.client import Headrace
from shared.client.errors import FailedError
from shared.client.files import File
from shared.client.polling import Pause
from shared.contracts.compute import NewResult, Session
from shared.contracts.ids import result_id, task_id, uuid7
from shared.contracts.retrieval import RequestedFile

LOOK: Final = 0.15
"""Seconds between two looks, at most."""

Progress = Callable[[int], None]
"""Called with how many are done."""


class Products(msgspec.Struct, frozen=True):
    """The bytes of the catalogue (ECSV) and of the contact sheet (PNG)."""

    catalogue: bytes
    sheet: bytes


class Compute:
    """The tasks of the main job in the compute session that the site has made."""

    def __init__(self, client: Headrace, session: UUID, pid: str, files: Sequence[File]) -> None:
        self._client, self._session, self._pid, self._files = client, session, pid, files
        self._inputs = {file.path: uuid7() for file in files}
        self.submission: UUID | None = None

    async def submit(self) -> None:
        """The inputs as results without a value, and the tasks that need them: they wait."""
        await self._client.results.create(self._session, [NewResult(name, id) for name, id in self._inputs.items()])
        tasks: list[dict[str, Any]] = [
            {"function": "measure", "payload": {"name": name}, "inputs": [id]} for name, id in self._inputs.items()
        ]
        tasks.append({"function": "catalogue", "inputs": [f"@{n}" for n in range(len(tasks))], "outputs": 2})
        self.submission = (await self._client.tasks.submit(self._session, tasks)).id

    async def retrieve(self) -> UUID:
        """The id of the retrieval that gives the inputs their values."""
        files = [RequestedFile(name, id) for name, id in self._inputs.items()]
        return (await self._client.retrievals.create(self._pid, session=self._session, results=files)).id

    async def until_retrieved(self, retrieval: UUID, progress: Progress) -> None:
        """Waits until all files are back from long-term storage; FailedError if they cannot be retrieved."""
        pause = Pause(LOOK)
        while (seen := await self._client.retrievals.get(retrieval)).status != "done":
            if seen.status in ("failed", "cancelled", "partial"):
                raise FailedError(f"{self._pid} could not be retrieved: {seen.error}")
            progress(seen.produced)
            await pause()
        progress(seen.produced)

    async def until_done(self, progress: Progress) -> None:
        """Until every task has ended; FailedError if the last one has not completed."""
        total, pause = len(self._files) + 1, Pause(LOOK)
        while (ended := _ended(await self._client.sessions.get(self._session))) < total:
            progress(ended)
            await pause()
        progress(ended)
        assert self.submission is not None
        join = await self._client.tasks.get(task_id(self.submission, len(self._files)))
        if join.status != "completed":
            raise FailedError(f"the last task ended as {join.status}: {join.error}")

    async def products(self) -> Products:
        """Downloads what the last task has produced."""
        assert self.submission is not None
        last = len(self._files)
        return Products(*[await self._client.results.value(result_id(self.submission, last, n)) for n in range(2)])

    async def close(self) -> None:
        """Closes the session."""
        await self._client.sessions.close(self._session)


def _ended(session: Session) -> int:
    """How many of its tasks have ended."""
    counts = session.tasks
    return 0 if counts is None else counts.completed + counts.failed + counts.cancelled
