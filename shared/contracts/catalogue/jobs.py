"""Jobs: a dataset is archived, or retrieved."""

from typing import Annotated
from uuid import UUID

import msgspec

from shared.contracts.catalogue.names import Camel, JobStatus, JobType, Pid


class JobCreate(Camel, frozen=True, forbid_unknown_fields=True):
    """`type`: `archive` or `retrieve`. `id`: the caller's own UUID, which makes a repeat harmless."""

    type: JobType
    pid: Pid
    id: UUID | None = None


class JobRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names a job of the catalogue."""

    job: UUID


class Job(Camel, frozen=True):
    """`message`: why it failed, or what it waits for."""

    id: UUID
    type: JobType
    pid: str
    owner: str
    job_status_message: JobStatus
    message: str
    created_at: str
    updated_at: str
    version: int


class JobUpdate(Camel, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """From the retriever: how its job goes."""

    job: UUID
    job_status_message: JobStatus
    message: Annotated[str, msgspec.Meta(max_length=2000)] = ""
