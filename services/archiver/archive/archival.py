"""The archival chain: datablocks from staging to long-term storage, read back there, and only then cleared here."""

from contextlib import aclosing
from typing import Final

from services.archiver.archive.packing import manifest
from services.archiver.archive.state import OfDataset
from services.archiver.catalogue import builtin as catalogue
from services.archiver.catalogue import layout
from services.archiver.catalogue.machine import BLOCK, BlockState
from services.archiver.catalogue.store import datablocks, datasets, files
from services.archiver.catalogue.store.datablocks import Row
from shared.chain.context import StepContext
from shared.chain.errors import Later
from shared.chain.tally import Tally
from shared.contracts.errors import AlreadyExists, HeadraceError, NoRoom
from shared.objects.hashing import Sha256
from shared.objects.port import Objects, Store
from shared.objects.remove import remove
from shared.runtime.log import log
from shared.service.unit import Unit, Units

STORED: Final = frozenset({BlockState.STORED, BlockState.VALIDATED})
ROOM_AGAIN: Final = 5.0
"""Seconds between two looks at whether a full storage has room."""


class CorruptError(HeadraceError):
    """What was read back from long-term storage is not what was written."""


class Archiving:
    """`storage`: the name of the storage `lts`."""

    def __init__(self, units: Units, objects: Objects, lts: Store, storage: str) -> None:
        self._units, self._objects, self._lts, self._storage = units, objects, lts, storage

    async def job_forwarded(self, ctx: StepContext, state: OfDataset) -> None:
        """The job is accepted."""
        catalogue.commit_job(ctx, state.job, "forward")

    async def job_in_progress(self, ctx: StepContext, state: OfDataset) -> None:
        """The job has begun."""
        catalogue.commit_job(ctx, state.job, "begin")

    async def lifecycle_started(self, ctx: StepContext, state: OfDataset) -> None:
        """The dataset is being archived: it may not be archived twice."""
        catalogue.commit_lifecycle(ctx, state.dataset, "start", archivable=False)

    async def move_datablocks_to_lts(self, ctx: StepContext, state: OfDataset) -> None:
        """Copies the datablocks; those in staging stay until the copies have been read back."""
        blocks = await datablocks.of_dataset(self._units.pool, state.dataset)
        tally = Tally("", blocks, [one for one in blocks if one["state"] in STORED])
        await ctx.progress(**tally.amounts())
        for one in blocks:
            # As it is now: copying takes long, and what was validated meanwhile may have no staged copy any more.
            block = await datablocks.lock(self._units.pool, state.dataset, one["id"])
            if block is not None and block["state"] in BLOCK.sources("store"):
                layout.check_storage(block["archive_id"], block["storage"], self._storage)
                await self._store(block)
                if await datablocks.move(self._units.pool, block["id"], "store"):
                    await ctx.progress(**tally.add(one))

    async def _store(self, block: Row) -> None:
        packed = await files.of_datablock(self._units.pool, block["id"])
        try:
            await self._copy(block)
            await self._put(layout.manifest_key(block["archive_id"]), manifest(packed))
        except NoRoom as error:
            raise Later(ROOM_AGAIN, f"room on long-term storage: {error.message}") from None
        log.info("datablock.stored", datablock=str(block["id"]), bytes=block["packed_size"])

    async def _copy(self, block: Row) -> None:
        key, size = block["archive_id"], block["packed_size"]
        if not block["damage"]:
            there = await self._lts.head(key)
            if there is not None and there.size == size:
                return  # an earlier run was killed behind it; whether it is right is the next step's question
        # In the place of what is there, at once: if this fails, nothing has been lost.
        staged = self._objects.get(block["staging_key"])
        await self._lts.put(key, staged, size=size, sha256=block["chk"], if_absent=False)

    async def _put(self, key: str, data: bytes) -> None:
        try:
            await self._lts.put(key, data)
        except AlreadyExists:
            return  # the same files give the same manifest

    async def validate_datablocks(self, ctx: StepContext, state: OfDataset) -> None:
        """Reads every datablock back, whole. CorruptError if one differs; then the chain is undone, and the next archive job copies it again."""
        blocks = await datablocks.of_dataset(self._units.pool, state.dataset)
        tally = Tally("validated_", blocks, [one for one in blocks if one["state"] == BlockState.VALIDATED])
        await ctx.progress(**tally.amounts())
        for block in blocks:
            if block["state"] not in BLOCK.sources("validate"):
                continue
            layout.check_storage(block["archive_id"], block["storage"], self._storage)
            digest = Sha256()
            async with aclosing(self._lts.get(block["archive_id"])) as chunks:
                async for chunk in chunks:
                    await digest.update(chunk)
            if (digest.size, digest.hex()) != (block["packed_size"], block["chk"]):
                raise CorruptError(
                    f"{block['archive_id']}: {digest.size} bytes that hash to {digest.hex()} came back; "
                    f"{block['packed_size']} that hash to {block['chk']} were written"
                )
            if await datablocks.validate(self._units.pool, block["id"]):
                await ctx.progress(**tally.add(block))

    async def delete_from_lts(self, ctx: StepContext, state: OfDataset) -> None:
        """Deletes the copies of datablocks that are in staging too; none if the dataset counts as archived.

        What is nowhere else stays as it is: the next archive job validates it where it lies.
        """
        row = await datasets.lock_id(self._units.pool, state.dataset)
        assert row is not None
        if row["retrievable"]:
            return
        for block in await datablocks.of_dataset(self._units.pool, state.dataset):
            layout.check_storage(block["archive_id"], block["storage"], self._storage)
            staged = await self._objects.head(block["staging_key"])
            if staged is None or staged.size != block["packed_size"]:
                log.warning("datablock.not_staged", datablock=str(block["id"]), archive_id=block["archive_id"])
                continue
            await self._lts.delete([block["archive_id"], layout.manifest_key(block["archive_id"])])
            await datablocks.move(self._units.pool, block["id"], "take back")

    async def mark_retrievable(self, ctx: StepContext, state: OfDataset) -> None:
        """The dataset counts as archived: what is staged is not its only copy any more."""
        catalogue.commit_lifecycle(ctx, state.dataset, "archive", archivable=False, retrievable=True)

    async def job_finished(self, ctx: StepContext, state: OfDataset) -> None:
        """The job has ended well."""
        catalogue.commit_finished_job(ctx, state.job, state.pid)

    async def clear_staging_and_landing_zone(self, ctx: StepContext, state: OfDataset) -> None:
        """Removes what was uploaded and packed; only long-term storage has it now."""
        await remove(self._objects, layout.staging_prefix(state.dataset))
        await remove(self._objects, layout.landing_prefix(state.dataset))

        async def gone(unit: Unit) -> None:
            await catalogue.set_lifecycle(unit, state.dataset, on_disk=False)

        ctx.commit(gone)

    async def report_failure(self, ctx: StepContext, state: OfDataset) -> None:
        """The job has failed; the dataset may be archived again, since its datablocks are still in staging.

        Whether it is retrievable stays as it is: it becomes so when all is validated, and no failure takes that back.
        """
        catalogue.commit_job(ctx, state.job, "fail", ctx.error)
        catalogue.commit_lifecycle(ctx, state.dataset, "fail", archivable=True)
