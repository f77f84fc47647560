"""The retrieval chain: long-term storage → retrieval storage, validated; then to those who wait."""

from contextlib import aclosing
from typing import Final

from services.retriever.retrieval import store
from services.retriever.retrieval.examine import description, examine
from services.retriever.retrieval.peers import Peers
from services.retriever.retrieval.state import CorruptError, Retrieving
from services.retriever.retrieval.store import Row, retrieval_key, retrieval_of
from services.retriever.retrieval.unpacking import Unpacking
from shared.chain.context import StepContext
from shared.chain.declare import Chain, critical, retry
from shared.chain.errors import Later, UserError
from shared.chain.machine import Fault
from shared.chain.tally import Tally
from shared.contracts import subjects
from shared.contracts.catalogue import JobStatus
from shared.contracts.errors import AlreadyExists, Invalid, NotFound, Unavailable, Unreadable
from shared.objects.hashing import Sha256
from shared.objects.port import Objects, Store
from shared.runtime.log import log
from shared.runtime.retry import Backoff
from shared.service.unit import Unit, Units

SOON: Final = Backoff(first=0.5, factor=2, ceiling=60)
AGAIN: Final = 5.0
"""Seconds between two looks at a datablock that is being archived again."""
NAMED: Final = 10
"""Damaged datablocks that a message names; the others are counted."""
MEANS: Final = {
    "missing": "not there",
    "size": "wrong size",
    "checksum": "hashes differ",
    "unreadable": "cannot be read",
}


class Retrieve:
    """`storage`: the name of the storage `lts`."""

    def __init__(self, units: Units, objects: Objects, lts: Store, peers: Peers, storage: str) -> None:
        self._units, self._objects, self._lts, self._peers, self._storage = units, objects, lts, peers, storage
        self._unpacking = Unpacking(units, objects, peers)
        self.chain = Chain(
            "retrieval", Retrieving,
            retry(self.job_in_progress, backoff=SOON),
            retry(self.lifecycle_started, backoff=SOON),
            retry(self.find_datablocks, backoff=SOON),
            critical(self.download_datablocks),
            critical(self.validate_datablocks),
            retry(self.produce_results, backoff=SOON),
            retry(self.lifecycle_retrieved, backoff=SOON),
            retry(self.job_finished, backoff=SOON),
            on_user_error=self.report_failure, on_system_error=self.report_failure, on_cancel=self.report_failure,
            cancellable_before="lifecycle_retrieved",
        )  # fmt: skip

    async def job_in_progress(self, ctx: StepContext, state: Retrieving) -> None:
        """The catalogue's job has begun."""
        await self._peers.job(state.owner, state.job, "inProgress")

    async def lifecycle_started(self, ctx: StepContext, state: Retrieving) -> None:
        """The dataset is being retrieved."""
        await self._peers.lifecycle(state.owner, state.pid, "started")

    async def find_datablocks(self, ctx: StepContext, state: Retrieving) -> None:
        """Stores what the catalogue knows: the datablocks with their checksums, and where the requested files lie in them."""
        blocks = await self._peers.datablocks(state.owner, state.pid)
        if not blocks:
            raise UserError(f"dataset {state.pid} has no datablocks")
        rows = await store.requested_files(self._units.pool, state.retrieval)
        paths = {row["path"] for row in rows}
        files = await self._peers.files(state.owner, state.pid, paths) if paths else []
        if missing := sorted(paths - {file.path for file in files}):
            raise UserError(f"dataset {state.pid} has no file {missing[0]!r}")
        needed = {file.datablock for file in files}
        if paths:  # only the tars that hold a requested file
            blocks = [block for block in blocks if block.id in needed]

        async def keep(unit: Unit) -> None:
            await store.add_datablocks(unit.connection, state.retrieval, blocks, files)

        ctx.commit(keep)

    async def download_datablocks(self, ctx: StepContext, state: Retrieving) -> None:
        """Copies datablocks to retrieval storage; one that is there already, from an earlier retrieval or run, is not copied again."""
        blocks = [block for block in await store.datablocks(self._units.pool, state.retrieval) if not block["damage"]]
        tally = Tally("", blocks, [])
        await ctx.progress(**tally.amounts())
        for block in blocks:
            if await self._bring(state, block):
                await ctx.progress(**tally.add(block))

    async def _bring(self, state: Retrieving, block: Row) -> bool:
        """Whether it is in retrieval storage; False if it is damaged on long-term storage, which the catalogue knows then."""
        key, archive = retrieval_key(block["archive_id"]), block["archive_id"]
        if await self._objects.head(key) is not None:
            return True
        if block["storage"] not in (None, self._storage):  # None: from before that was noted
            raise Unavailable(f"{archive} is on storage {block['storage']!r}; the retriever reads {self._storage!r}")
        try:
            await self._objects.put(key, self._lts.get(archive), size=block["packed_size"], sha256=block["chk"])
        except AlreadyExists:
            return True  # another retrieval of the same dataset was first
        except (Invalid, NotFound, Unreadable):
            await self._damaged(state, block)
            return False
        if block["suspect"]:  # somebody has put it right without us
            await self._peers.report(state.owner, state.pid, block["datablock"], block["copy"], None)
        log.info("datablock.retrieved", datablock=str(block["datablock"]), bytes=block["packed_size"])
        return True

    async def _damaged(self, state: Retrieving, block: Row) -> None:
        """Reports a damaged datablock to the catalogue. Raises Later if it has been replaced since, or is about to be."""
        archive, size, chk = block["archive_id"], block["packed_size"], block["chk"]
        found = await examine(self._lts, archive, size, chk)
        if found is None:
            raise Later(AGAIN, f"{archive}: it was read once as it should be and once not")
        what = description(archive, found, size, chk)
        known = await self._peers.report(state.owner, state.pid, block["datablock"], block["copy"], found)
        if (known.status, known.copy) != ("damaged", block["copy"]):
            suspect = known.damage is not None
            await store.set_copy(self._units.pool, state.retrieval, block["datablock"], known.copy, suspect)
            raise Later(AGAIN, f"{what}: it is being archived again")
        await store.set_damage(self._units.pool, state.retrieval, block["datablock"], found.damage)
        log.warning("datablock.damaged", retrieval=str(state.retrieval), datablock=str(block["datablock"]), found=what)

    async def validate_datablocks(self, ctx: StepContext, state: Retrieving) -> None:
        """Reads the datablocks in retrieval storage. One that differs is removed, so that the next try copies it again."""
        blocks = [block for block in await store.datablocks(self._units.pool, state.retrieval) if not block["damage"]]
        tally = Tally("validated_", blocks, [block for block in blocks if block["retrieved"]])
        await ctx.progress(**tally.amounts())
        for block in blocks:
            if block["retrieved"]:
                continue
            if not await self._bring(state, block):  # again, if the last try found it wrong
                continue
            digest, key = Sha256(), retrieval_key(block["archive_id"])
            try:
                async with aclosing(self._objects.get(key)) as chunks:
                    async for chunk in chunks:
                        await digest.update(chunk)
            except Unreadable as error:
                await self._objects.delete([key])
                raise CorruptError(f"{block['archive_id']} in retrieval storage: {error.message}") from error
            if (digest.size, digest.hex()) != (block["packed_size"], block["chk"]):
                await self._objects.delete([key])
                raise CorruptError(f"{block['archive_id']} in retrieval storage hashes to {digest.hex()}")
            await store.set_retrieved(self._units.pool, state.retrieval, block["datablock"])
            await ctx.progress(**tally.add(block))
        if not any(block["retrieved"] for block in await store.datablocks(self._units.pool, state.retrieval)):
            raise UserError(await self._damage(state))  # trying again would find the same

    async def _damage(self, state: Retrieving) -> str:
        """The damaged datablocks by name, for a message; empty if there are none."""
        blocks = await store.damaged_datablocks(self._units.pool, state.retrieval)
        names = [f"{one['archive_id'].rpartition('/')[2]} ({MEANS[one['damage']]})" for one in blocks[:NAMED]]
        more = f", and {len(blocks) - NAMED} more" if len(blocks) > NAMED else ""
        return f"damaged on long-term storage: {', '.join(names)}{more}" if blocks else ""

    async def produce_results(self, ctx: StepContext, state: Retrieving) -> None:
        """Each requested file becomes the value of its result, which releases the tasks that wait for nothing else."""
        if state.session is not None:
            lost = await store.results_in_damaged(self._units.pool, state.retrieval)
            why = f"retrieval {state.retrieval} of {state.pid}: {await self._damage(state)}"
            await self._peers.abort(state.owner, state.session, lost, why)
            await self._unpacking.produce(ctx, state, state.session)

    async def lifecycle_retrieved(self, ctx: StepContext, state: Retrieving) -> None:
        """The dataset is retrieved, or what is damaged of it failed to be."""
        damage = await self._damage(state)
        await self._peers.lifecycle(state.owner, state.pid, "datasetRetrievalFailed" if damage else "datasetRetrieved")

    async def job_finished(self, ctx: StepContext, state: Retrieving) -> None:
        """The catalogue's job has ended, with errors if something is damaged."""
        damage = await self._damage(state)
        status: JobStatus = "finishedWithDatasetErrors" if damage else "finishedSuccessful"
        await self._peers.job(state.owner, state.job, status, damage)
        row = await store.find(self._units.pool, state.retrieval)
        assert row is not None
        ctx.set_result(retrieval_of(row, "done", ctx.step))
        ctx.emit(subjects.event("retrieval", "changed", state.retrieval), store.retrieval_changed(row, "done"))

    async def report_failure(self, ctx: StepContext, state: Retrieving) -> None:
        """The results that were not produced are aborted with the reason, so that no task waits for them; the job has failed."""
        if state.session is not None:
            rows = await store.results_not_produced(self._units.pool, state.retrieval)
            why = f"retrieval {state.retrieval} of {state.pid}: {ctx.error}"
            await self._peers.abort(state.owner, state.session, rows, why)
        await self._peers.lifecycle(state.owner, state.pid, "datasetRetrievalFailed")
        await self._peers.job(state.owner, state.job, "finishedUnsuccessful", ctx.error)
        event = await store.changed(
            self._units.pool, state.retrieval, "cancelled" if ctx.fault is Fault.CANCELLED else "failed"
        )
        ctx.emit(subjects.event("retrieval", "changed", state.retrieval), event)
