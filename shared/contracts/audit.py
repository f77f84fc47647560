"""The audit log: who did what to which thing, from where, by which way, and who was refused."""

from datetime import datetime
from typing import Annotated, Final

import msgspec

from shared.contracts.identity import UserName
from shared.contracts.paging import PageSize

VERSION: Final = 1
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Text = Annotated[str, msgspec.Meta(max_length=1024)]


class AuditQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Entries that fit all of the conditions, newest first. `since` counts, `until` does not; `allowed` false: those refused."""

    user: UserName | None = None
    action: Text = ""
    thing: Text = ""
    allowed: bool | None = None
    since: Moment | None = None
    until: Moment | None = None
    size: PageSize = 100
    token: str = ""


class AuditEntry(msgspec.Struct, frozen=True):
    """One entry.

    id       its place in the log, from 1
    at       RFC 3339
    user     empty: nobody that is known
    via      `http` or `command`
    client   the address that it came from; empty: the bus
    action   `<noun>.<verb>`
    thing    `<kind>/<id>`, as far as the request names it
    allowed  false: refused for who asked, or for how often
    status   of the answer, as HTTP has it
    trace    the trace's id
    hash     SHA-256 in hex of the hash before and of this entry
    """

    id: int
    at: str
    user: str
    via: str
    client: str
    action: str
    thing: str
    allowed: bool
    status: int
    trace: str
    hash: str


class AuditPage(msgspec.Struct, frozen=True):
    """Newest first."""

    items: list[AuditEntry]
    next: str = ""


class AuditVerify(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Checks the chain of hashes behind the entry `after` (0: from the first), whose hash is `hash`; at most 10,000 entries."""

    after: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    hash: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$(?!\n)")] = ""


class AuditVerified(msgspec.Struct, frozen=True):
    """`bad`: the first entry that is not as it was written, or missing; 0: none. `last`, `hash`: where to go on; `more`: whether to."""

    checked: int
    bad: int
    last: int
    hash: str
    more: bool
