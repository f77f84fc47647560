"""The dataset: registered, uploaded, packed, stored on long-term storage, read back there, cleared here.

It goes on from wherever an earlier run got to.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from shared.client import Headrace
from shared.client.datasets import archive_status
from shared.client.errors import FailedError
from shared.client.files import File
from shared.client.polling import Pause
from shared.client.upload_addresses import Addresses
from shared.client.uploads import upload_all

OPEN: Final = frozenset({"filesNotReadyYet", "missingFilesError"})
"""In these states of a dataset files are taken."""
LOOK: Final = 0.15
"""Seconds between two looks, at most."""
TRIES: Final = 100
"""Tries of an upload: a full disk is waited for as long as services that are away."""

Note = Callable[[str], None]
"""Called with what is being done, or waited for."""


class Archive:
    """The dataset of the main job on its way to long-term storage."""

    def __init__(self, client: Headrace, pid: str, files: Sequence[File]) -> None:
        self._client, self.pid, self._files = client, pid, files
        self._dataset = client.datasets.one(pid)

    async def register(self) -> dict[str, Any]:
        """The dataset with its files; repeating it changes nothing."""
        await self._dataset.create(datasetName="FITS files of the astropy wheel", sourceFolder="/astropy")
        await self._dataset.add([file.described() for file in self._files])
        return await self._dataset.get()

    async def upload(self, arrived: Callable[[], None] = lambda: None) -> None:
        """Straight to object storage, at addresses that the archiver signs; what an earlier run has uploaded is not sent again."""
        uploaded = {one["path"] async for one in self._dataset.uploads() if one["uploaded"]}
        missing = [file for file in self._files if file.path not in uploaded]
        for _ in uploaded:
            arrived()
        if missing:
            addresses = Addresses(self._dataset.sign, (file.path for file in missing))
            await upload_all(self._client.object_storage, missing, addresses, arrived=arrived, tries=TRIES)

    async def pack(self, note: Note) -> dict[str, Any]:
        """The dataset when its datablocks are made."""
        finished, pause = await self._dataset.finish(), Pause(LOOK)
        while archive_status(seen := await self._dataset.get()) in OPEN:
            missing = archive_status(seen) == "missingFilesError" and not seen["numberOfDatablocks"]
            if missing and seen["version"] > finished["version"]:
                raise FailedError(await self.reason())
            note(reason := await self.reason())
            if reason.startswith("post_upload is failed"):
                raise FailedError(reason)
            await pause()
        return seen

    async def archive(self, note: Note) -> dict[str, Any]:
        """The dataset when it is on long-term storage, was read back there, and what is here is cleared."""
        pause = Pause(LOOK)
        if archive_status(await self._dataset.get()) in ("datasetCreated", "scheduleArchiveJobFailed"):
            job = await self._dataset.archive()
            while (seen := await self._dataset.job(job))["jobStatusMessage"] != "finishedSuccessful":
                if seen["jobStatusMessage"].startswith("finished"):
                    raise FailedError(f"{self.pid} could not be archived: {seen['message']}")
                note(await self.reason())
                await pause()
        while (dataset := await self._dataset.get())["datasetlifecycle"]["isOnCentralDisk"]:
            if archive_status(dataset) == "scheduleArchiveJobFailed":
                raise FailedError(await self.reason())
            note(await self.reason())
            await pause()
        return dataset

    async def reason(self) -> str:
        """Why the dataset is where it is."""
        found = await self._dataset.explain()
        return "; ".join(found["reasons"][:2]) or str(found["summary"])
