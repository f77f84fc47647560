"""From long-term storage back: what is asked of the retriever. Version 2.

The operations are in `shared/contracts/endpoints/retrieval.py`; docs/endpoints.md is the table made from it.

Version 2: addresses come in pages (`DownloadQuery`, `Downloads.next`); a retrieval says how many bytes its datablocks have.
Damaged datablocks are named, the others are delivered (status `partial`, `Retrieval.damaged`, `Download.damage`).
"""

from typing import Annotated, Final
from uuid import UUID

import msgspec

from shared.contracts.catalogue import MOST_FILES, FilePath, Pid
from shared.contracts.paging import PageSize

VERSION: Final = 2


class RequestedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The retrieval gives `result` its value: the bytes of the file at `path`."""

    path: FilePath
    result: UUID


class RetrievalCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Brings a dataset back. With `session`, it produces results of that session, and tasks that need them wait for it.

    `id`: the caller's own UUID, which makes a repeat harmless. `job`: the catalogue's job that this is the work of.
    """

    pid: Pid
    id: UUID | None = None
    job: UUID | None = None
    session: UUID | None = None
    results: Annotated[list[RequestedFile], msgspec.Meta(max_length=MOST_FILES)] = []


class RetrievalRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names a retrieval."""

    retrieval: UUID


class Retrieval(msgspec.Struct, frozen=True):
    """`status`: running, done, partial, failed or cancelled; `step`: where it is. `produced` of `wanted` results have their
    value.

    `size`: bytes of the datablocks, once they are known. `damaged`: datablocks that are damaged on long-term storage; partial:
    the others are back.
    """

    id: UUID
    pid: str
    owner: str
    status: str
    step: str
    error: str
    datablocks: int
    blocks_back: int
    wanted: int
    produced: int
    created_at: str
    size: int = 0
    damaged: int = 0


class DownloadQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Asks for addresses of datablocks, in the order of their names; those after `token`."""

    retrieval: UUID
    size: PageSize = 100
    token: str = ""


class Download(msgspec.Struct, frozen=True):
    """A datablock in retrieval storage. `url` is a secret: it reads the tar until it expires. `datablock`: its id.

    `damage`: what is wrong with it on long-term storage (`DamageKind`); such a one is not back and has no `url`.
    """

    name: str
    size: int
    chk: str
    url: str
    datablock: UUID | None = None
    damage: str = ""


class Downloads(msgspec.Struct, frozen=True):
    """One page. `expires_at`: when its addresses end. `next`: the token of the next page (empty: that was all)."""

    items: list[Download]
    expires_at: str
    next: str = ""
