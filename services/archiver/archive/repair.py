"""The repair chain: a damaged dataset is archived again from its source. Only the damaged datablocks are written anew.

Their files are uploaded once more and packed as they were: the same files give the same tar, which is held to the checksum that
was registered. The bad object is replaced only when the good one is in staging. The datablocks that are whole are not touched,
whatever becomes of the chain: there is no other copy of them.
"""

from functools import partial

from services.archiver.archive.post_upload import PostUpload
from services.archiver.archive.state import OfDataset
from services.archiver.catalogue import builtin as catalogue
from services.archiver.catalogue import layout
from services.archiver.catalogue.machine import ARCHIVE, BLOCK
from services.archiver.catalogue.store import datablocks, datasets
from services.archiver.catalogue.store.datablocks import Row
from shared.chain.context import StepContext
from shared.objects.port import Objects
from shared.objects.remove import remove
from shared.runtime.log import log
from shared.service.unit import Unit, Units


class Repairing:
    """The steps that only the repair chain has."""

    def __init__(self, units: Units, objects: Objects, packing: PostUpload) -> None:
        self._units, self._objects, self._packing = units, objects, packing

    async def repack_damaged_datablocks(self, ctx: StepContext, state: OfDataset) -> None:
        """Packs each damaged datablock again: landing zone → tar → staging. UserError if its files are missing, or differ."""
        for block in await datablocks.of_dataset(self._units.pool, state.dataset):
            if block["state"] in BLOCK.sources("repack"):
                await self._repack(state, block)

    async def _repack(self, state: OfDataset, block: Row) -> None:
        key, _ = await self._packing.put(state.dataset, block, size=block["packed_size"], sha256=block["chk"])
        if await datablocks.repack(self._units.pool, block["id"], key) is None:
            await self._objects.delete([key])  # another run was first, or it is whole again
            return
        log.info("datablock.repacked", datablock=str(block["id"]), damage=block["damage"], bytes=block["packed_size"])

    async def give_up(self, ctx: StepContext, state: OfDataset) -> None:
        """What was to be repaired, and was not validated, is damaged as before."""
        await datablocks.give_up_repair(self._units.pool, state.dataset)
        await remove(self._objects, layout.staging_prefix(state.dataset))

    async def mark_repaired(self, ctx: StepContext, state: OfDataset) -> None:
        """The dataset is archived again, unless more damage was found meanwhile."""
        ctx.commit(partial(self._mark, state=state))

    async def _mark(self, unit: Unit, *, state: OfDataset) -> None:
        """Counts the damaged datablocks anew: the dataset is archived as before, or it is still damaged."""
        await datasets.lock_id(unit.connection, state.dataset)
        row = await datasets.count_damaged(unit.connection, state.dataset)
        verb = "fail" if row["damaged"] else "archive"
        if row["archive_state"] in ARCHIVE.sources(verb):
            target = ARCHIVE.target(verb)
            await catalogue.set_lifecycle(unit, row["id"], archivable=bool(row["damaged"]), archive_state=target)

    async def report_failure(self, ctx: StepContext, state: OfDataset) -> None:
        """The job has failed. What is whole may still be retrieved. The dataset may be archived again if something is damaged still;
        if nothing is (the chain was cancelled behind its last validation), it is archived: staging is empty, and nothing is to do."""
        catalogue.commit_job(ctx, state.job, "fail", ctx.error)
        ctx.commit(partial(self._mark, state=state))
