"""Datasets: registered, looked at, found, given up."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec

from shared.contracts.catalogue.names import ArchiveStatus, Camel, Pid, RetrieveStatus
from shared.contracts.compute import Label, Name
from shared.contracts.paging import Page


class Lifecycle(Camel, frozen=True):
    """Where a dataset is. Archivable: it may be archived. Retrievable: it is in long-term storage. Both: it is there, but
    damaged (to SciCat's user interface a system error), and may be archived again. `archive_return_message`: what is wrong."""

    archivable: bool = False
    retrievable: bool = False
    is_on_central_disk: bool = True
    archive_status_message: ArchiveStatus = "filesNotReadyYet"
    retrieve_status_message: RetrieveStatus = ""
    archive_return_message: dict[str, str] = {}  # noqa: RUF012


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
    """Datasets, newest first: those that fit all of the conditions.

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
    """A field that is not given stays."""

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
