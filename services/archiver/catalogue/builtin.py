"""The catalogue in the archiver's own tables. What a step changes in it is committed with the step: exactly once.

A status that is there already, or that the table of machine.py does not allow from where the thing is, changes nothing: a
step that runs again comes late, and an operator may have gone on.
"""

from functools import partial
from uuid import UUID

from services.archiver.catalogue.machine import ARCHIVE, ArchiveState, RetrieveState
from services.archiver.catalogue.store import datablocks, datasets, jobs
from services.archiver.catalogue.store.datasets import Row
from shared.chain.context import StepContext
from shared.contracts import subjects
from shared.service.unit import Unit


def commit_job(ctx: StepContext, job: UUID | None, verb: str, message: str = "") -> None:
    """Moves the job, if there is one, when the step counts."""
    if job is not None:
        ctx.commit(partial(_move_job, job=job, verb=verb, message=message))


def commit_finished_job(ctx: StepContext, job: UUID | None, pid: str) -> None:
    """Moves the job, if there is one, to its good end when the step counts: it is the result of the operation."""

    async def finish(unit: Unit) -> None:
        if job is not None and (row := await move_job(unit, job, "finish")) is not None:
            ctx.set_result(jobs.job_of(row, pid))

    ctx.commit(finish)


async def _move_job(unit: Unit, *, job: UUID, verb: str, message: str) -> None:
    await move_job(unit, job, verb, message)


async def move_job(unit: Unit, job: UUID, verb: str, message: str = "") -> Row | None:
    """The job as it is then; None if the verb is not legal from where it is."""
    row = await jobs.move(unit.connection, job, verb, message)
    if row is not None:
        unit.emit(subjects.event("archive", "changed", job), jobs.changed(row))
    return row


def commit_lifecycle(
    ctx: StepContext, dataset: UUID, verb: str, *, archivable: bool, retrievable: bool | None = None
) -> None:
    """Moves the dataset's archive status when the step counts. `retrievable`: None if it stays as it is."""
    ctx.commit(partial(_move, dataset=dataset, verb=verb, archivable=archivable, retrievable=retrievable))


def commit_packed(ctx: StepContext, dataset: UUID) -> None:
    """The dataset may be archived when the step counts: it is the result of the operation."""

    async def pack(unit: Unit) -> None:
        if (row := await _move(unit, dataset=dataset, verb="pack", archivable=True)) is not None:
            ctx.set_result(datasets.dataset_of(row))

    ctx.commit(pack)


async def _move(
    unit: Unit, *, dataset: UUID, verb: str, archivable: bool, retrievable: bool | None = None
) -> Row | None:
    """The dataset as it is then; None if the verb does nothing to it."""
    row = await datasets.lock_id(unit.connection, dataset)
    if row is not None and row["archive_state"] in ARCHIVE.sources(verb):  # none: it was abandoned
        return await set_lifecycle(
            unit, dataset, archive_state=ARCHIVE.target(verb), archivable=archivable, retrievable=retrievable
        )
    return None


async def set_lifecycle(
    unit: Unit,
    dataset: UUID,
    *,
    archivable: bool | None = None,
    retrievable: bool | None = None,
    on_disk: bool | None = None,
    archive_state: ArchiveState | None = None,
    retrieve_state: RetrieveState | None = None,
) -> Row:
    """Sets what is given (None stays), and emits the event. The dataset as it is then."""
    row = await datasets.set_lifecycle(
        unit.connection,
        dataset,
        archivable=archivable,
        retrievable=retrievable,
        on_disk=on_disk,
        archive_state=archive_state,
        retrieve_state=retrieve_state,
    )
    unit.emit(subjects.event("dataset", "changed", dataset), datasets.changed(row))
    return row


def commit_registration(ctx: StepContext, dataset: UUID) -> None:
    """The dataset's packed datablocks become visible when the step counts."""
    ctx.commit(partial(_register, dataset=dataset))


async def _register(unit: Unit, *, dataset: UUID) -> None:
    await datablocks.register_all(unit.connection, dataset)
    row = await datasets.count_datablocks(unit.connection, dataset)
    if row is not None:  # it was abandoned
        unit.emit(subjects.event("datablock", "registered", dataset), datasets.changed(row))
