"""What a retrieval chain carries, and the error that it may meet in storage."""

from uuid import UUID

import msgspec

from shared.contracts.errors import HeadraceError


class Retrieving(msgspec.Struct, frozen=True):
    """The state of a retrieval chain. `session`: the session whose results it produces, if any."""

    retrieval: UUID
    pid: str
    owner: str
    job: UUID | None = None
    session: UUID | None = None


class CorruptError(HeadraceError):
    """What came from long-term storage, or lies in retrieval storage, is not what was stored."""
