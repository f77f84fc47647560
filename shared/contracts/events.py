"""Events, published on `hr.evt.<noun>.<event>.<id>`. Version 2. A frame lists the changes of one commit in one session.

Which events there are, and who publishes them, is data in `deploy/generate/channels.py`; docs/asyncapi.yaml is made from it.
"""

from typing import Final
from uuid import UUID

import msgspec

from shared.contracts.errors import ErrorBody

VERSION: Final = 2


class SessionChanged(msgspec.Struct, frozen=True):
    """A session has another state. `version`: grows with each change of the session."""

    session: UUID
    status: str
    version: int


class SubmissionMade(msgspec.Struct, frozen=True):
    """A submission has become visible. `tasks`: how many it has."""

    session: UUID
    submission: UUID
    tasks: int


class Frame(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ids of tasks and results by what they became, in one commit. An empty list is absent."""

    session: UUID
    started: list[UUID] = []
    completed: list[UUID] = []
    failed: list[UUID] = []
    cancelling: list[UUID] = []
    cancelled: list[UUID] = []
    retried: list[UUID] = []
    results: list[UUID] = []
    aborted: list[UUID] = []
    deleted: list[UUID] = []


class TaskProgress(msgspec.Struct, frozen=True):
    """How far a task is, as its code says. `fraction`: from 0 to 1."""

    session: UUID
    task: UUID
    fraction: float
    message: str


class DatasetChanged(msgspec.Struct, frozen=True):
    """The status texts are SciCat's."""

    dataset: UUID
    pid: str
    archive_status: str
    retrieve_status: str
    version: int


class JobChanged(msgspec.Struct, frozen=True):
    """A job of the catalogue: `archive` or `retrieve`."""

    job: UUID
    type: str
    status: str
    message: str
    version: int


class RetrievalChanged(msgspec.Struct, frozen=True):
    """`produced`: results of a session that have got their value from it, so far."""

    retrieval: UUID
    pid: str
    status: str
    produced: int
    wanted: int


class TaskLogged(msgspec.Struct, frozen=True):
    """A piece of what an attempt printed; `start`: characters printed before it, by which pieces are put in order."""

    session: UUID
    task: UUID
    attempt: int
    start: int
    text: str


class CommandDone(msgspec.Struct, frozen=True):
    """A durable command was carried out. `subject`: the command's. `reply`: as the same request would have had it."""

    subject: str
    reply: msgspec.Raw


class CommandRejected(msgspec.Struct, frozen=True):
    """A durable command was refused. `subject`: the command's."""

    subject: str
    error: ErrorBody


class ChainChanged(msgspec.Struct, frozen=True, omit_defaults=True):
    """`kind`: the chain's name in code, e.g. `archival`. `step`: where it stands; `error`: why it failed."""

    chain: str
    kind: str
    status: str
    step: str = ""
    error: str = ""


class OfferChanged(msgspec.Struct, frozen=True, omit_defaults=True):
    """`phase`: as in `Offer`. `session`: the compute session, once there is one."""

    offer: UUID
    offerset: UUID
    site: str
    phase: str
    version: int
    session: UUID | None = None
