"""Where a dataset's bytes lie. Keys are made of the dataset's own id, not of its pid: no name of a user's can clash.

landing/<dataset>/<path>                     as uploaded
staging/<dataset>/<uuid>/<block>.tar         packed; every try of packing has a fresh key
datasets/<dataset>/datablocks/<block>.tar    on long-term storage: SciCat's `archiveId`; its manifest lies beside
"""

from uuid import UUID

from shared.contracts.errors import Unavailable
from shared.contracts.ids import uuid7


def landing_prefix(dataset: UUID) -> str:
    """Where a dataset's uploaded files lie."""
    return f"landing/{dataset}/"


def landing_key(dataset: UUID, path: str) -> str:
    """Where one file is uploaded to; `path` is its path in the dataset."""
    return f"{landing_prefix(dataset)}{path}"


def staging_prefix(dataset: UUID) -> str:
    """Where a dataset's packed datablocks lie."""
    return f"staging/{dataset}/"


def staging_key(dataset: UUID, name: str) -> str:
    """A fresh key; never the same twice."""
    return f"{staging_prefix(dataset)}{uuid7()}/{name}.tar"


def archive_prefix(dataset: UUID) -> str:
    """Where a dataset lies on long-term storage."""
    return f"datasets/{dataset}/"


def archive_id(dataset: UUID, name: str) -> str:
    """A datablock's key on long-term storage; `name` is its name without `.tar`."""
    return f"{archive_prefix(dataset)}datablocks/{name}.tar"


def dataset_of(key: str) -> UUID | None:
    """The dataset that a key of the landing zone or of staging belongs to; None if the key has another form."""
    try:
        return UUID(key.split("/", 2)[1])
    except (IndexError, ValueError):
        return None


def manifest_key(archive: str) -> str:
    """The list of a datablock's files and their hashes, readable without unpacking it."""
    return f"{archive}.manifest-sha256.txt"


def block_name(pid: str, number: int) -> str:
    """`headrace/m13` → `headrace-m13_0`."""
    return f"{pid.replace('/', '-')}_{number}"


def folders(path: str) -> list[str]:
    """The folders that a path lies in: `a/b/c` → `a`, `a/b`."""
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def check_storage(archive: str, storage: str, here: str) -> None:
    """Unavailable if what is archived as `archive` is on another storage than the one called `here`."""
    if storage not in ("", here):
        raise Unavailable(f"{archive} is on storage {storage!r}; the archiver writes to {here!r}")
