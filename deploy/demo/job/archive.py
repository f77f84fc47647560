"""The dataset: registered, uploaded, packed, stored on long-term storage, read back there, cleared here.

It goes on from wherever an earlier run got to.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from deploy.demo.job.client import Client, JobError
from deploy.demo.job.files import File

CATALOGUE, ARCHIVER = "/catalogue/api/v3", "/archiver/api/v1"
UPLOADS = 8
"""Files uploaded at once."""
PACE = 0.15
"""Seconds between two looks."""
OPEN = frozenset({"filesNotReadyYet", "missingFilesError"})

Tell = Callable[[str], None]
"""What it is at, or waits for."""


class Archive:
    def __init__(self, client: Client, pid: str, files: Sequence[File]) -> None:
        self._client, self.pid, self._files = client, pid, files
        self._at = quote(pid, safe="")

    async def register(self) -> dict[str, Any]:
        """The dataset and its files; said again it changes nothing."""
        about = {"pid": self.pid, "datasetName": "FITS files of the astropy wheel", "sourceFolder": "/astropy"}
        await self._client.post(f"{CATALOGUE}/datasets", about)
        listed = [{"path": file.name, "size": file.size, "chk": file.chk} for file in self._files]
        await self._client.post(f"{CATALOGUE}/origdatablocks", {"pid": self.pid, "dataFileList": listed})
        return await self.dataset()

    async def dataset(self) -> dict[str, Any]:
        found: dict[str, Any] = await self._client.get(f"{CATALOGUE}/datasets/{self._at}")
        return found

    async def upload(self, advance: Callable[[], None]) -> None:
        """Straight to object storage, at addresses that the archiver signs; what an earlier run has uploaded is not sent again."""
        there = await self._uploaded()
        for _ in there:
            advance()
        missing = [file for file in self._files if file.name not in there]
        if not missing:
            return
        asked = {"pid": self.pid, "paths": [file.name for file in missing]}
        urls = {one["path"]: one["url"] for one in (await self._client.post(f"{ARCHIVER}/upload/urls", asked))["urls"]}
        gate = asyncio.Semaphore(UPLOADS)

        async def one(file: File) -> None:
            async with gate:
                await self._client.put(urls[file.name], await asyncio.to_thread(file.path.read_bytes))
                advance()

        await asyncio.gather(*(one(file) for file in missing))

    async def _uploaded(self) -> set[str]:
        found: set[str] = set()
        token = ""
        while True:
            page = await self._client.get(f"{ARCHIVER}/datasets/{self._at}/uploads", token=token)
            found |= {one["path"] for one in page["items"] if one["uploaded"]}
            if not (token := page["next"]):
                return found

    async def pack(self, tell: Tell) -> dict[str, Any]:
        """Says that all is there, and waits for the datablocks."""
        said = await self._client.post(f"{ARCHIVER}/upload/finished", {"pid": self.pid})
        while (seen := await self.dataset())["datasetlifecycle"]["archiveStatusMessage"] in OPEN:
            missing = status(seen) == "missingFilesError" and not seen["numberOfDatablocks"]
            if missing and seen["version"] > said["version"]:
                raise JobError(await self.why())
            tell(why := await self.why())
            if why.startswith("post_upload is failed"):
                raise JobError(why)
            await asyncio.sleep(PACE)
        return seen

    async def archive(self, tell: Tell) -> dict[str, Any]:
        """To long-term storage; until it was read back there, and what is here is cleared."""
        if status(await self.dataset()) in ("datasetCreated", "scheduleArchiveJobFailed"):
            job = (await self._client.post(f"{CATALOGUE}/jobs", {"type": "archive", "pid": self.pid}))["id"]
            while (seen := await self._client.get(f"{CATALOGUE}/jobs/{job}"))[
                "jobStatusMessage"
            ] != "finishedSuccessful":
                if seen["jobStatusMessage"].startswith("finished"):
                    raise JobError(f"{self.pid} could not be archived: {seen['message']}")
                tell(await self.why())
                await asyncio.sleep(PACE)
        while (dataset := await self.dataset())["datasetlifecycle"]["isOnCentralDisk"]:
            if status(dataset) == "scheduleArchiveJobFailed":
                raise JobError(await self.why())
            tell(await self.why())
            await asyncio.sleep(PACE)
        return dataset

    async def why(self) -> str:
        """What it is at, in words."""
        told = await self._client.get(f"{ARCHIVER}/datasets/{self._at}/explain")
        return "; ".join(told["reasons"][:2]) or str(told["summary"])


def status(dataset: dict[str, Any]) -> str:
    return str(dataset["datasetlifecycle"]["archiveStatusMessage"])
