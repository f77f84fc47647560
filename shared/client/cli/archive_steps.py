"""The steps of an uploaded dataset to long-term storage, waited for. Each goes on from where an earlier call got to."""

from typing import Any

from shared.client.cli.progress_bars import Note
from shared.client.cli.register import OPEN
from shared.client.datasets import OneDataset, archive_status
from shared.client.errors import FailedError, RefusedError
from shared.client.polling import Pause

ARCHIVABLE = frozenset({"datasetCreated", "scheduleArchiveJobFailed"})
_ENDED = ("post_upload is failed", "post_upload is cancelled")
"""How the archiver begins to explain that nobody is packing any more. Such an end is in no status if it is its own fault."""


async def pack(dataset: OneDataset, note: Note) -> dict[str, Any]:
    """Says that all is uploaded; the dataset when its datablocks are there."""
    finished, pause = await dataset.finish(), Pause()
    while archive_status(seen := await dataset.get()) in OPEN:
        # The status is the one of an earlier try until its own outcome is there; datablocks come just before it.
        missing = archive_status(seen) == "missingFilesError" and seen["version"] > finished["version"]
        if missing and not seen["numberOfDatablocks"]:
            raise FailedError(f"{dataset.pid} was not packed: {await _why(dataset)}")
        at = await _why(dataset)
        if at.startswith(_ENDED) and archive_status(await dataset.get()) in OPEN:
            raise FailedError(f"{dataset.pid} was not packed: {at}")
        note(at)
        await pause()
    return seen


async def hand_in(dataset: OneDataset, note: Note) -> str | None:
    """The job that archives it, if it is not on its way already: then None."""
    pause = Pause()
    while archive_status(await dataset.get()) in ARCHIVABLE:
        try:
            return await dataset.archive()
        except RefusedError as error:
            if error.status != 409:
                raise
        note(await _why(dataset))  # an earlier call's job is about to begin
        await pause()
    return None


async def store(dataset: OneDataset, job: str | None, note: Note) -> None:
    """Until it is on long-term storage, and was read back there."""
    pause = Pause()
    while not await _stored(dataset, job):
        note(await _why(dataset))
        await pause()


async def _stored(dataset: OneDataset, job: str | None) -> bool:
    if job is None:
        if (now := archive_status(await dataset.get())) == "scheduleArchiveJobFailed":
            raise FailedError(f"{dataset.pid} could not be archived: {await _why(dataset)}")
        return now == "datasetOnArchiveDisk"
    seen = await dataset.job(job)
    if seen["jobStatusMessage"] == "finishedSuccessful":
        return True
    if seen["jobStatusMessage"].startswith("finished"):
        raise FailedError(f"{dataset.pid} could not be archived: {seen['message']}")
    return False


async def _why(dataset: OneDataset) -> str:
    found = await dataset.explain()
    return "; ".join(found["reasons"][:2]) or str(found["summary"])
