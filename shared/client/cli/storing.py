"""An uploaded dataset's way to long-term storage, waited for. Each step goes on from where an earlier call got to."""

from typing import Any

from shared.client.cli.bars import Tell
from shared.client.cli.dataset import Dataset, status
from shared.client.cli.register import OPEN
from shared.client.cli.steady import Pause
from shared.client.cli.trouble import FailedError, RefusedError

ARCHIVABLE = frozenset({"datasetCreated", "scheduleArchiveJobFailed"})
_ENDED = ("post_upload is failed", "post_upload is cancelled")
"""How the archiver begins to explain that nobody is packing any more. Such an end is in no status if it is its own fault."""


def pack(dataset: Dataset, tell: Tell) -> dict[str, Any]:
    """Says that all is uploaded; the dataset when its datablocks are there."""
    said, pause = dataset.finish(), Pause()
    while status(seen := dataset.get()) in OPEN:
        # The status is the one of an earlier try until its own outcome is there; datablocks come just before it.
        missing = status(seen) == "missingFilesError" and seen["version"] > said["version"]
        if missing and not seen["numberOfDatablocks"]:
            raise FailedError(f"{dataset.pid} was not packed: {_why(dataset)}")
        at = _why(dataset)
        if at.startswith(_ENDED) and status(dataset.get()) in OPEN:
            raise FailedError(f"{dataset.pid} was not packed: {at}")
        tell(at)
        pause()
    return seen


def hand_in(dataset: Dataset, tell: Tell) -> str | None:
    """The job that archives it, if it is not on its way already: then None."""
    pause = Pause()
    while status(dataset.get()) in ARCHIVABLE:
        try:
            return dataset.archive()
        except RefusedError as error:
            if error.status != 409:
                raise
        tell(_why(dataset))  # an earlier call's job is about to begin
        pause()
    return None


def store(dataset: Dataset, job: str | None, tell: Tell) -> None:
    """Until it is on long-term storage, and was read back there."""
    pause = Pause()
    while not _stored(dataset, job):
        tell(_why(dataset))
        pause()


def _stored(dataset: Dataset, job: str | None) -> bool:
    if job is None:
        if (now := status(dataset.get())) == "scheduleArchiveJobFailed":
            raise FailedError(f"{dataset.pid} could not be archived: {_why(dataset)}")
        return now == "datasetOnArchiveDisk"
    seen = dataset.job(job)
    if seen["jobStatusMessage"] == "finishedSuccessful":
        return True
    if seen["jobStatusMessage"].startswith("finished"):
        raise FailedError(f"{dataset.pid} could not be archived: {seen['message']}")
    return False


def _why(dataset: Dataset) -> str:
    told = dataset.explain()
    return "; ".join(told["reasons"][:2]) or str(told["summary"])
