"""The catalogue's jobs: archive this dataset, retrieve that one."""

from services.archiver.archive.chains import ArchiverChains
from services.archiver.archive.state import OfDataset
from services.archiver.catalogue import builtin as catalogue
from services.archiver.catalogue.datasets import has_live_chain
from services.archiver.catalogue.machine import ARCHIVE, JOB, ArchiveState, JobState, verb_to, wire
from services.archiver.catalogue.store import datasets, jobs
from services.archiver.catalogue.store.datasets import Row
from shared.chain.chains import Chains
from shared.contracts import subjects
from shared.contracts.catalogue import Job, JobCreate, JobRef, JobUpdate
from shared.contracts.endpoints.catalogue import JOB_CREATE, JOB_GET, JOB_UPDATE
from shared.contracts.errors import AlreadyExists, Conflict
from shared.contracts.ids import uuid7
from shared.db.sql import Db
from shared.service.context import Context
from shared.service.service import Service
from shared.service.unit import Unit


class Jobs:
    """Archive and retrieve jobs; each is an operation of the same id."""

    def __init__(self, db: Db, chains: Chains, declared: ArchiverChains) -> None:
        self._db, self._chains, self._declared = db, chains, declared

    def register(self, service: Service) -> None:
        """Registers the handlers."""
        service.on(JOB_CREATE, self.create)
        service.on(JOB_GET, self.get)
        service.on(JOB_UPDATE, self.update)

    async def create(self, unit: Unit, ctx: Context, asked: JobCreate) -> Job:
        """A new job, and the chain that does it. Conflict if the dataset is not where it can be done."""
        db = unit.connection
        row = await datasets.lock_owned(db, ctx, asked.pid)
        if asked.id is not None and (there := await jobs.find(db, asked.id)) is not None:
            if (there["dataset"], there["type"]) != (row["id"], asked.type):
                raise AlreadyExists(f"there is a job {asked.id} already, and it is another", field="id")
            return jobs.job_of(there, asked.pid)
        chain, kind = self._declared.retrieval, "retrieve"
        if asked.type == "archive":
            await self._check_archivable(row)
            chain, kind = (self._declared.repair, "repair") if row["damaged"] else (self._declared.archival, "archive")
        elif not row["retrievable"]:
            raise Conflict(f"dataset {asked.pid} is not retrievable: it is not on long-term storage", field="pid")
        job = await jobs.insert(db, asked.id or uuid7(), asked.type, row["id"], row["owner"])
        state = OfDataset(row["id"], asked.pid, row["owner"], job["id"])
        await self._chains.start(unit, chain, state, id=job["id"], operation=state.shown_as(kind))
        if asked.type == "archive":  # the one chain that writes; a retrieval beside it must not take its place
            await datasets.set_chain(db, row["id"], job["id"])
        unit.emit(subjects.event("archive", "changed", job["id"]), jobs.changed(job))
        return jobs.job_of(job, asked.pid)

    async def _check_archivable(self, row: Row) -> None:
        if await has_live_chain(self._chains, row):
            raise Conflict(f"dataset {row['pid']} is being worked on already: chain {row['chain']}", field="pid")
        ARCHIVE.check("start", ArchiveState(row["archive_state"]), row["pid"])

    async def get(self, ctx: Context, asked: JobRef) -> Job:
        """A job of the asker's."""
        row = await jobs.find_owned(self._db, ctx, asked.job)
        return jobs.job_of(row, row["pid"])

    async def update(self, unit: Unit, ctx: Context, asked: JobUpdate) -> Job:
        """The retriever says how far the job is. A status that the job has already is no error."""
        row = await jobs.find_owned(unit.connection, ctx, asked.job)
        target = next(state for state in JobState if wire(state) == asked.job_status_message)
        if target == row["state"]:
            return jobs.job_of(row, row["pid"])
        verb = verb_to(JOB, target)
        moved = await catalogue.move_job(unit, asked.job, verb, asked.message)
        if moved is None:
            raise JOB.refusal(verb, JobState(row["state"]), asked.job)
        return jobs.job_of(moved, row["pid"])
