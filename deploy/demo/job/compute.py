"""The session at the site: a task for each file, which waits until the file has come back from long-term storage, and one
that waits for all of them."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from deploy.demo.job.client import Client, JobError
from deploy.demo.job.files import File
from shared.contracts.ids import result_id, task_id, uuid7

COMPUTE, DATA = "/compute/v1", "/data/v1"
PACE = 0.15
"""Seconds between two looks."""

Progress = Callable[[int], None]
"""How many are done."""


class Products(msgspec.Struct, frozen=True):
    catalogue: bytes
    sheet: bytes


class Compute:
    def __init__(self, client: Client, session: str, pid: str, files: Sequence[File]) -> None:
        self._client, self._session, self._pid, self._files = client, session, pid, files
        self._where = f"{COMPUTE}/sessions/{session}"
        self._inputs = {file.name: str(uuid7()) for file in files}
        self.submission: UUID | None = None

    async def submit(self) -> None:
        """The inputs as results without a value, and the tasks that need them: they wait."""
        new = [{"id": id, "name": name} for name, id in self._inputs.items()]
        await self._client.post(f"{self._where}/results", {"results": new})
        tasks: list[dict[str, Any]] = [
            {"payload": {"name": name}, "inputs": [id], "options": {"function": "measure"}}
            for name, id in self._inputs.items()
        ]
        joined = [f"@{n}" for n in range(len(tasks))]
        tasks.append({"inputs": joined, "outputs": 2, "options": {"function": "catalogue"}})
        lines = "".join(json.dumps(task) + "\n" for task in tasks)
        made = await self._client.post(f"{self._where}/submissions", lines=lines)
        self.submission = UUID(made["id"])

    async def retrieve(self) -> str:
        """The retrieval that gives the inputs their values; its id."""
        wanted = [{"path": name, "result": id} for name, id in self._inputs.items()]
        body = {"pid": self._pid, "id": str(uuid7()), "session": self._session, "results": wanted}
        return str((await self._client.post(f"{DATA}/retrievals", body))["id"])

    async def until_retrieved(self, retrieval: str, progress: Progress) -> None:
        while (seen := await self._client.get(f"{DATA}/retrievals/{retrieval}"))["status"] != "done":
            if seen["status"] in ("failed", "cancelled", "partial"):
                raise JobError(f"{self._pid} could not be retrieved: {seen['error']}")
            progress(seen["produced"])
            await asyncio.sleep(PACE)
        progress(seen["produced"])

    async def until_done(self, progress: Progress) -> None:
        """Until every task has ended; JobError if the last one has not completed."""
        total = len(self._files) + 1
        while (ended := _ended(await self._client.get(self._where))) < total:
            progress(ended)
            await asyncio.sleep(PACE)
        progress(ended)
        assert self.submission is not None
        join = await self._client.get(f"{COMPUTE}/tasks/{task_id(self.submission, len(self._files))}")
        if join["status"] != "completed":
            raise JobError(f"the last task ended as {join['status']}: {join['error']}")

    async def products(self) -> Products:
        assert self.submission is not None
        last = len(self._files)
        found = [
            await self._client.download(f"{COMPUTE}/results/{result_id(self.submission, last, n)}/data")
            for n in range(2)
        ]
        return Products(*found)

    async def close(self) -> None:
        await self._client.post(f"{self._where}/close")


def _ended(session: dict[str, Any]) -> int:
    counts = session["tasks"]
    return int(counts["completed"] + counts["failed"] + counts["cancelled"])
