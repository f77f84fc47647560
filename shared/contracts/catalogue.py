"""Datasets, their files, datablocks and jobs: what is asked of the archiver. Version 3.

The names are SciCat's own (`ownerGroup`, `datasetlifecycle`, `archiveStatusMessage`), and so are the values of every status;
what SciCat leaves to free text is an enum here.
The operations are in `shared/contracts/endpoints/catalogue.py`; docs/endpoints.md is the table made from it.

Version 2: files of one datablock (`FileQuery.datablock`); paths are limited in bytes; uploads can be looked at
(`upload.list`), corrected (`OrigDatablockCreate.replace`) and abandoned. What is found damaged on long-term storage is reported
and named (`DatablockReport`, `Damage`, `Datablock.status`, `Located.damaged`).
Version 3: datasets are searched and filtered (`DatasetList`).
"""

from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from shared.contracts.compute import Label, Name
from shared.contracts.paging import Page, PageSize

VERSION: Final = 3

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


class Lifecycle(Camel, frozen=True):
    """Where a dataset is. Archivable: it may be archived. Retrievable: it is in long-term storage. Both: it is there, but
    damaged (to SciCat's user interface a system error), and may be archived again. `archive_return_message`: what is wrong."""

    archivable: bool = False
    retrievable: bool = False
    is_on_central_disk: bool = True
    archive_status_message: ArchiveStatus = "filesNotReadyYet"
    retrieve_status_message: RetrieveStatus = ""
    archive_return_message: dict[str, str] = {}


class DatasetCreate(Camel, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A raw dataset. The same pid with the same content again changes nothing; with other content it is `already_exists`."""

    pid: Pid
    owner_group: Name = "users"
    source_folder: Annotated[str, msgspec.Meta(max_length=1000)] = "/"
    dataset_name: Label = ""
    contact_email: Label = ""
    description: Annotated[str, msgspec.Meta(max_length=10_000)] = ""


class DatasetRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names a dataset."""

    pid: Pid


class Dataset(Camel, frozen=True):
    """`size`, `number_of_files`: of the original files; `packed_size`: of the datablocks. Times are RFC 3339."""

    id: UUID
    pid: str
    owner: str
    owner_group: str
    source_folder: str
    dataset_name: str
    contact_email: str
    description: str
    size: int
    number_of_files: int
    packed_size: int
    number_of_datablocks: int
    datasetlifecycle: Lifecycle
    created_at: str
    updated_at: str
    version: int
    number_of_damaged_datablocks: int = 0


class DatasetList(Page, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Datasets, newest first: those that fit all that is said.

    search    is part of the pid, the name or the description, in upper or lower case
    status    of archiving
    group     that owns it
    damaged   only those of which datablocks are damaged on long-term storage
    """

    search: Label = ""
    status: ArchiveStatus | Literal[""] = ""
    group: Annotated[str, msgspec.Meta(max_length=128)] = ""
    damaged: bool = False


class DatasetPage(msgspec.Struct, frozen=True):
    """A page of datasets. `next`: the token of the next page, empty on the last one."""

    items: list[Dataset]
    next: str = ""


class LifecycleUpdate(Camel, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is not said stays."""

    pid: Pid
    archivable: bool | None = None
    retrievable: bool | None = None
    is_on_central_disk: bool | None = None
    archive_status_message: ArchiveStatus | None = None
    retrieve_status_message: RetrieveStatus | None = None


class Located(msgspec.Struct, frozen=True):
    """Where a dataset's datablocks lie: the names of long-term storages that hold all of them, whole. `size`: bytes to move.
    `damaged`: datablocks that were found damaged there."""

    pid: str
    size: int
    storages: list[str]
    damaged: int = 0


class DatasetState(msgspec.Struct, frozen=True):
    """Why a dataset is where it is: one `summary`, then `reasons` from the most to the least decisive."""

    pid: str
    summary: str
    reasons: list[str]


class DatasetAbandon(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Gives up a dataset that is not archived: its pid is free, its bytes are removed. `id`: the dataset's, which makes a repeat
    harmless when somebody has taken the pid since."""

    pid: Pid
    id: UUID | None = None


class Abandoned(Camel, frozen=True):
    """`size`: of the files that were registered."""

    id: UUID
    pid: str
    size: int
    number_of_files: int


class DataFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file: its path in the dataset, its bytes, their SHA-256."""

    path: FilePath
    size: Size
    chk: Sha256


class OrigDatablockCreate(Camel, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Files that the dataset has, as they are at their source: what the upload is held to.

    `replace`: those that are registered with other content are registered anew, and have to be uploaded anew; only until the
    dataset is packed.
    """

    pid: Pid
    data_file_list: Annotated[list[DataFile], msgspec.Meta(min_length=1, max_length=MOST_FILES)]
    replace: bool = False


class OrigDatablock(Camel, frozen=True):
    """`size`: of its files together."""

    id: UUID
    pid: str
    size: int
    number_of_files: int
    chk_alg: str = "sha256"


class Damage(Camel, frozen=True):
    """What was found instead of a datablock, and when (RFC 3339). `found_size`: None if nothing was there, or
    it could not be read."""

    kind: DamageKind
    found_at: str
    found_size: int | None = None
    found_chk: str = ""


class Datablock(Camel, frozen=True):
    """A tar in long-term storage. `size`: of its files; `packed_size`, `chk`: of the tar, as they have to be. `storage`: where
    it lies. `copy`: counts how often it was written there; `damage`: what is wrong with it, or was until it is repaired."""

    id: UUID
    pid: str
    archive_id: str
    size: int
    packed_size: int
    chk: str
    storage: str
    number_of_files: int
    chk_alg: str = "sha256"
    version: str = "1.0"
    status: DatablockStatus = "registered"
    copy: int = 1
    damage: Damage | None = None


class DatablockReport(Camel, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """From the retriever: how it found a datablock on long-term storage. `damage`: None if it was whole.

    `copy`: the one that it read. A report of a copy that has been replaced since changes nothing.
    """

    pid: Pid
    datablock: UUID
    copy: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    damage: DamageKind | None = None
    found_size: Size | None = None
    found_chk: Annotated[str, msgspec.Meta(max_length=64)] = ""


class DatablockQuery(Page, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Asks for a page of the datablocks of a dataset."""

    pid: Pid


class DatablockPage(msgspec.Struct, frozen=True):
    """A page of datablocks. `next`: the token of the next page, empty on the last one."""

    items: list[Datablock]
    next: str = ""


class FileQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The files of a dataset in the order of their paths; those after `token`. `datablock`: only those that it holds."""

    pid: Pid
    size: PageSize = 1000
    token: str = ""
    datablock: UUID | None = None


class StoredFile(msgspec.Struct, frozen=True):
    """A file in a datablock: `start` is its first byte in the tar."""

    path: str
    size: int
    chk: str
    datablock: UUID
    start: int


class FilePage(msgspec.Struct, frozen=True):
    """A page of stored files. `next`: the token of the next page, empty on the last one."""

    items: list[StoredFile]
    next: str = ""


class UploadQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Asks which of the registered files are uploaded, in the order of their paths; those after `token`."""

    pid: Pid
    size: PageSize = 500
    token: str = ""


class UploadFile(msgspec.Struct, frozen=True):
    """A registered file. `uploaded`: it is in the landing zone, whole: it need not be sent again."""

    path: str
    size: int
    chk: str
    uploaded: bool


class UploadPage(msgspec.Struct, frozen=True):
    """A page of registered files. `next`: the token of the next page, empty on the last one."""

    items: list[UploadFile]
    next: str = ""


class UploadSign(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asks for addresses to upload files to."""

    pid: Pid
    paths: Annotated[list[FilePath], msgspec.Meta(min_length=1, max_length=MOST_FILES)]


class UploadUrl(msgspec.Struct, frozen=True):
    """`url` is a secret: it writes this file until it expires, in one PUT."""

    path: str
    url: str


class UploadUrls(msgspec.Struct, frozen=True):
    """Addresses to upload to."""

    urls: list[UploadUrl]
    expires_at: str


class JobCreate(Camel, frozen=True, forbid_unknown_fields=True):
    """`type`: `archive` or `retrieve`. `id`: the caller's own UUID, which makes a repeat harmless."""

    type: JobType
    pid: Pid
    id: UUID | None = None


class JobRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names a job of the catalogue."""

    job: UUID


class Job(Camel, frozen=True):
    """`message`: why it failed, or what it waits for."""

    id: UUID
    type: JobType
    pid: str
    owner: str
    job_status_message: JobStatus
    message: str
    created_at: str
    updated_at: str
    version: int


class JobUpdate(Camel, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """From the retriever: how its job goes."""

    job: UUID
    job_status_message: JobStatus
    message: Annotated[str, msgspec.Meta(max_length=2000)] = ""
