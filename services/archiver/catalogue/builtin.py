"""The catalogue in the archiver's own tables. What a step tells it becomes true with the step: exactly once.

A status that is there already, or that the table of machine.py does not allow from where the thing is, changes nothing: a
step that runs again comes late, and an operator may have gone on.
"""

from functools import partial
from typing import Any
from uuid import UUID

from services.archiver.catalogue import store
from services.archiver.catalogue.machine import ARCHIVE, BLOCK, JOB
from shared.chain.context import StepContext
from shared.contracts import subjects
from shared.service.unit import Unit

Q = store.Q


def tell_job(ctx: StepContext, job: UUID | None, verb: str, message: str = "") -> None:
    """Moves the job, if there is one, when the step counts."""
    if job is not None:
        ctx.commit(partial(_move_job, job=job, verb=verb, message=message))


async def _move_job(unit: Unit, *, job: UUID, verb: str, message: str) -> None:
    await move_job(unit, job, verb, message)


async def move_job(unit: Unit, job: UUID, verb: str, message: str = "") -> store.Row | None:
    """The job as it is then; None if the verb is not legal from where it is."""
    row: store.Row | None = await unit.connection.fetchrow(
        Q["move_job"], job, int(JOB.target(verb)), message[:2000], JOB.sources(verb)
    )
    if row is not None:
        unit.emit(subjects.event("archive", "changed", job), store.job_changed(row))
    return row


def tell_lifecycle(ctx: StepContext, dataset: UUID, verb: str, **flags: bool) -> None:
    """Moves the dataset's archive status when the step counts. `flags`: archivable, retrievable, on_disk."""
    ctx.commit(partial(_move, dataset=dataset, verb=verb, flags=flags))


async def _move(unit: Unit, *, dataset: UUID, verb: str, flags: dict[str, bool]) -> None:
    row = await unit.connection.fetchrow(Q["lock_dataset_of_chain"], dataset)
    if row is not None and row["archive_state"] in ARCHIVE.sources(verb):  # none: it was abandoned
        await set_lifecycle(unit, dataset, archive_state=int(ARCHIVE.target(verb)), **flags)


async def set_lifecycle(
    unit: Unit,
    dataset: UUID,
    *,
    archivable: bool | None = None,
    retrievable: bool | None = None,
    on_disk: bool | None = None,
    archive_state: int | None = None,
    retrieve_state: int | None = None,
) -> store.Row:
    """What is not said stays; the row as it is then, and an event."""
    row: store.Row = await unit.connection.fetchrow(
        Q["set_lifecycle"], dataset, archivable, retrievable, on_disk, archive_state, retrieve_state
    )
    unit.emit(subjects.event("dataset", "changed", dataset), store.changed(row))
    return row


def register(ctx: StepContext, dataset: UUID) -> None:
    """The dataset's packed datablocks become visible when the step counts."""
    ctx.commit(partial(_register, dataset=dataset))


async def _register(unit: Unit, *, dataset: UUID) -> None:
    db: Any = unit.connection
    await db.fetch(Q["move_blocks"], dataset, int(BLOCK.target("register")), BLOCK.sources("register"))
    row = await db.fetchrow(Q["count_blocks"], dataset)
    if row is not None:  # it was abandoned
        unit.emit(subjects.event("datablock", "registered", dataset), store.changed(row))
