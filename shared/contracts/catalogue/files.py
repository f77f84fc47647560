"""Files that a dataset has, registered before they are uploaded."""

from typing import Annotated
from uuid import UUID

import msgspec

from shared.contracts.catalogue.names import MOST_FILES, Camel, FilePath, Pid, Sha256, Size


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
