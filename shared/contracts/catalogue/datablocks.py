"""Datablocks: the tar files that a dataset is packed into, and the files in them."""

from typing import Annotated
from uuid import UUID

import msgspec

from shared.contracts.catalogue.names import Camel, DamageKind, DatablockStatus, Pid, Size
from shared.contracts.paging import Page, PageSize


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
