"""What is told on `hr.evt.<noun>.<event>.<id>`. Version 2. A frame lists the changes of one commit in one session.

| subject                              | body             | told by    |
|--------------------------------------|------------------|------------|
| `hr.evt.session.<created\\|paused\\|resumed\\|reopened\\|stopped\\|closed\\|cancelled\\|purged\\|deleted>.<session>` | SessionChanged | scheduler |
| `hr.evt.submission.visible.<session>`| SubmissionMade   | scheduler  |
| `hr.evt.task.changed.<session>`      | Frame            | scheduler  |
| `hr.evt.task.progress.<session>`     | TaskProgress     | scheduler  |
| `hr.evt.dataset.<created\\|changed\\|abandoned>.<dataset>` | DatasetChanged | archiver  |
| `hr.evt.origdatablock.created.<dataset>` | DatasetChanged | archiver |
| `hr.evt.upload.finished.<dataset>`   | DatasetChanged   | archiver   |
| `hr.evt.datablock.registered.<dataset>` | DatasetChanged | archiver  |
| `hr.evt.archive.changed.<job>`       | JobChanged       | archiver   |
| `hr.evt.retrieval.changed.<retrieval>` | RetrievalChanged | retriever |
| `hr.evt.task.logged.<session>`       | TaskLogged       | scheduler  |
| `hr.evt.command.done.<sequence>`     | CommandDone      | the owner  |
| `hr.evt.command.rejected.<sequence>` | CommandRejected  | the owner  |
| `hr.evt.operation.changed.<operation>` | Operation (operations.py) | the operation's service |
| `hr.evt.chain.<started\\|done\\|failed>.<chain>` | ChainChanged | the chain's service |
| `hr.evt.offer.<offered\\|accepted\\|rejected\\|expired\\|waiting\\|preparing\\|available\\|running\\|releasing\\|completed\\|failed\\|cancelled>.<offer>` | OfferChanged | the site's broker |

"""

from typing import Final
from uuid import UUID

import msgspec

from shared.contracts.errors import ErrorBody

VERSION: Final = 2


class SessionChanged(msgspec.Struct, frozen=True):
    session: UUID
    status: str
    version: int


class SubmissionMade(msgspec.Struct, frozen=True):
    session: UUID
    submission: UUID
    tasks: int


class Frame(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ids by what they became, in one commit. A state's list is absent when empty. Each id is told once per state."""

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
    """`reply`: what the same request would have been answered over request-reply."""

    subject: str
    reply: msgspec.Raw


class CommandRejected(msgspec.Struct, frozen=True):
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
