"""Names, paths and statuses that the catalogue's messages share."""

from typing import Annotated, Final, Literal

import msgspec

Pid = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,99})?$(?!\n)")
]
"""A dataset's persistent id, as the field writes it: `20.500.12345/a3f1…`, or one name."""
LONGEST_PATH: Final = 979
"""Bytes of UTF-8 of a path: what `landing/<dataset>/` leaves of a key of object storage."""
FilePath = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
"""Relative, with slashes, of at most LONGEST_PATH bytes; each segment is a name (`shared.objects.layout.path_fault`)."""
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 50)]

ArchiveStatus = Literal[
    "datasetCreated",
    "filesNotReadyYet",
    "started",
    "datasetOnArchiveDisk",
    "missingFilesError",
    "scheduleArchiveJobFailed",
]
RetrieveStatus = Literal["", "started", "datasetRetrieved", "datasetRetrievalFailed"]
JobStatus = Literal[
    "jobSubmitted",
    "jobForwarded",
    "inProgress",
    "finishedSuccessful",
    "finishedWithDatasetErrors",
    "finishedUnsuccessful",
]
JobType = Literal["archive", "retrieve"]
DatablockStatus = Literal["registered", "stored", "validated", "damaged"]
DamageKind = Literal["missing", "size", "checksum", "unreadable"]
"""How a datablock differs from what was written: it is not there, has another size, other bytes of the same size, or
cannot be read though its storage is there."""
MOST_FILES: Final = 1000
"""Files of one original datablock, of one page of files, of one request for addresses."""


class Camel(msgspec.Struct, frozen=True, rename="camel"):
    """The field writes its names so."""
