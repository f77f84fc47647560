"""The catalogue's jobs: archive this dataset, retrieve that one."""

from services.archiver.archive.chains import ArchiverChains
from services.archiver.archive.state import OfDataset
from services.archiver.archive.uploads import live
from services.archiver.catalogue import builtin as catalogue
from services.archiver.catalogue import store
from services.archiver.catalogue.machine import ARCHIVE, JOB, ArchiveState, JobState, verb_to, wire
from shared.chain.chains import Chains
from shared.contracts import subjects
from shared.contracts.catalogue import Job, JobCreate, JobRef, JobUpdate
from shared.contracts.endpoints.catalogue import JOB_CREATE, JOB_GET, JOB_UPDATE
from shared.contracts.errors import AlreadyExists, Conflict
from shared.contracts.ids import uuid7
from shared.service.context import Context
from shared.service.service import Service
from shared.service.unit import Unit

Q = store.Q


class Jobs:
    def __init__(self, db: store.Db, chains: Chains, declared: ArchiverChains) -> None:
        self._db, self._chains, self._declared = db, chains, declared

    def register(self, service: Service) -> None:
        service.on(JOB_CREATE, self.create)
        service.on(JOB_GET, self.get)
        service.on(JOB_UPDATE, self.update)

    async def create(self, unit: Unit, ctx: Context, asked: JobCreate) -> Job:
        db = unit.connection
        row = await store.dataset(db, ctx, asked.pid, "lock_dataset")
        if asked.id is not None and (there := await db.fetchrow(Q["job"], asked.id)) is not None:
            if (there["dataset"], there["type"]) != (row["id"], asked.type):
                raise AlreadyExists(f"there is a job {asked.id} already, and it is another", field="id")
            return store.job_of(there, asked.pid)
        chain = self._declared.retrieval
        if asked.type == "archive":
            await self._check_archivable(row)
            chain = self._declared.repair if row["damaged"] else self._declared.archival
        elif not row["retrievable"]:
            raise Conflict(f"dataset {asked.pid} is not retrievable: it is not on long-term storage", field="pid")
        job = await db.fetchrow(Q["add_job"], asked.id or uuid7(), asked.type, row["id"], row["owner"])
        state = OfDataset(row["id"], asked.pid, row["owner"], job["id"])
        await self._chains.start(unit, chain, state, id=job["id"])
        if asked.type == "archive":  # the one chain that writes; a retrieval beside it must not take its place
            await db.execute(Q["set_chain"], row["id"], job["id"])
        unit.emit(subjects.event("archive", "changed", job["id"]), store.job_changed(job))
        return store.job_of(job, asked.pid)

    async def _check_archivable(self, row: store.Row) -> None:
        if await live(self._chains, row):
            raise Conflict(f"dataset {row['pid']} is being worked on already: chain {row['chain']}", field="pid")
        ARCHIVE.check("start", ArchiveState(row["archive_state"]), row["pid"])

    async def get(self, ctx: Context, asked: JobRef) -> Job:
        row = await store.job(self._db, ctx, asked.job)
        return store.job_of(row, row["pid"])

    async def update(self, unit: Unit, ctx: Context, asked: JobUpdate) -> Job:
        """From the retriever. A status that the job has already is no error."""
        row = await store.job(unit.connection, ctx, asked.job)
        target = next(state for state in JobState if wire(state) == asked.job_status_message)
        if target == row["state"]:
            return store.job_of(row, row["pid"])
        verb = verb_to(JOB, target)
        moved = await catalogue.move_job(unit, asked.job, verb, asked.message)
        if moved is None:
            raise JOB.refusal(verb, JobState(row["state"]), asked.job)
        return store.job_of(moved, row["pid"])
