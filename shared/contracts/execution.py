"""Worksteps that ask for offers, and what the sites' brokers answer: the IVOA ExecutionBroker 1.0. Version 1.

What IVOA names has IVOA's name and place here (`kind`, `meta`, `phase`, `expires`); kinds and fields of our own are marked so.
Each site has one broker, or replicas of it that share a database and a queue group.

The operations are in `shared/contracts/endpoints/execution.py`; docs/endpoints.md is the table made from it.
Who asks is in the delegation; to others than its owner an offer does not exist. A site is also a partition of its name:
accepting an offer makes a compute session there.
"""

from enum import IntEnum
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from shared.contracts.catalogue import Pid
from shared.contracts.compute import Function, Label, PartitionName

VERSION: Final = 1
KINDS: Final = "https://www.purl.org/ivoa.net/Calycopis-openapi/schema/v1.0/kinds/"
"""What the kinds of the standard begin with."""
OURS: Final = "urn:headrace:kind:"
"""What kinds that the standard does not have begin with."""
MOST_DATA: Final = 64

Duration = Annotated[
    str, msgspec.Meta(pattern=r"^P(?=.)(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?$(?!\n)", max_length=64)
]
"""ISO 8601, such as `PT2H`."""
Amount = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class Phase(IntEnum):
    """The phase of an execution session, as rows store it: never renumber. On the wire it is the name."""

    INITIAL = 1
    OFFERED = 2
    ACCEPTED = 3
    REJECTED = 4
    EXPIRED = 5
    WAITING = 6
    PREPARING = 7
    AVAILABLE = 8
    RUNNING = 9
    RELEASING = 10
    COMPLETED = 11
    FAILED = 12
    CANCELLED = 13


class About(msgspec.Struct, frozen=True, omit_defaults=True):
    """The `meta` of a component that somebody asks for: what they call it. The standard's other fields are not read."""

    name: Label = ""
    description: Label = ""


class FunctionExecutable(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    tag=f"{OURS}function",
):
    """Ours: tasks of the session run this function of the site's workers unless they say another."""

    function: Function
    meta: About = About()


class Between(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At least `min`; up to `max` where there is more (none given: `min`)."""

    min: Amount = 1
    max: Amount | None = None

    def __post_init__(self) -> None:
        if self.most < self.min:
            raise ValueError(f"at most {self.max} is less than at least {self.min}")

    @property
    def most(self) -> int:
        """The largest amount that will do."""
        return self.min if self.max is None else self.max


class Compute(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag=f"{KINDS}compute/simple-compute-resource.yaml",
):
    """`memory` in GiB."""

    cores: Between = Between()
    memory: Between = Between()
    meta: About = About()


class SimpleData(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    tag=f"{KINDS}data/simple-data-resource.yaml",
):
    """`location`: a dataset's pid, which the archiver can find; anything else no site can."""

    location: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    meta: About = About()


class DatasetData(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    tag=f"{OURS}dataset",
):
    """Ours: a dataset of the catalogue."""

    pid: Pid
    meta: About = About()


Data = SimpleData | DatasetData


class Requested(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`duration`: how long it is expected to run. Kept and shown; nothing is ended when it has passed."""

    duration: Duration


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When it is to run."""

    requested: Requested


class ExecutionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is to run, on what, over which data."""

    executable: FunctionExecutable | None = None
    compute: Compute = Compute()
    data: Annotated[list[Data], msgspec.Meta(max_length=MOST_DATA)] = []
    schedule: Schedule | None = None
    meta: About = About()


class MessageItem(msgspec.Struct, frozen=True):
    """`time`: RFC 3339. `level`: INFO, WARN or ERROR."""

    level: str
    time: str
    message: str


class EnumOption(msgspec.Struct, frozen=True, tag_field="kind", tag="uri:enum-value-option"):
    """What the caller may set `path` to now."""

    path: str
    values: list[str]


class SessionMeta(msgspec.Struct, frozen=True):
    """Times are RFC 3339."""

    uuid: UUID
    created: str
    modified: str
    messages: list[MessageItem]
    options: list[EnumOption]


class Offer(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="kind",
    tag=f"{KINDS}session/simple-execution-session.yaml",
):
    """An execution session, which begins as an offer. `expires` counts while it is OFFERED. `compute`: what is offered.

    Ours are: `site`, and `partition` (where the tasks of its compute session run); `offerset`; `reasons`, for people; seconds
    until its data are there (`prepare_seconds`) and until it can start (`starts_in_seconds`), both from the time of the
    offer; `cores` offered, `memory` in GiB, and `cores_free`, what the site had then; `session`, the compute session once it
    is accepted; `version`, which grows with every change.
    """

    meta: SessionMeta
    phase: str
    expires: str
    executable: FunctionExecutable | None = None
    compute: Compute
    data: list[Data]
    schedule: Schedule | None = None
    site: str
    partition: str
    offerset: UUID
    owner: str
    reasons: list[str]
    prepare_seconds: float
    starts_in_seconds: float
    cores: int
    memory: int
    cores_free: int
    session: UUID | None = None
    version: int


class OfferRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From the gateway to every site. `within`: seconds for which answers are waited for; later ones are dropped."""

    offerset: UUID
    request: ExecutionRequest
    within: Annotated[float, msgspec.Meta(gt=0, le=60)]


class OfferReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """`YES` with the offer, which holds what it promises until it expires; or `NO` with the `reason`."""

    site: str
    result: Literal["YES", "NO"]
    offer: Offer | None = None
    reason: str = ""


class OfferRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names an offer, or the session that it has become."""

    offer: UUID


class SitePing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asks a site what it is."""


class Site(msgspec.Struct, frozen=True):
    """`storages`: the long-term storages that are near. `memory` in GiB. What offers hold is not free."""

    site: str
    partition: PartitionName
    storages: list[str]
    cores: int
    cores_free: int
    memory: int
    memory_free: int


class OfferSetMeta(msgspec.Struct, frozen=True):
    """`messages`: why sites made no offer."""

    uuid: UUID
    created: str
    messages: list[MessageItem]


class OfferSet(msgspec.Struct, frozen=True, omit_defaults=True):
    """What all sites answered, best first. `result`: NO if there is no offer. `workstep`: what it was asked for, if stored."""

    meta: OfferSetMeta
    result: Literal["YES", "NO"]
    offers: list[Offer]
    workstep: UUID | None = None


class PhaseUpdate(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="uri:enum-value-update"
):
    """The only update that there is: of the phase."""

    path: Literal["/phase", "phase"]
    value: Literal["ACCEPTED", "REJECTED", "CANCELLED"]
