"""The post-upload chain: files in the landing zone become datablocks in staging."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from uuid import UUID

from services.archiver.archive.packing import Tar, WrongFileError, share_out
from services.archiver.archive.state import OfDataset
from services.archiver.catalogue import builtin as catalogue
from services.archiver.catalogue import layout
from services.archiver.catalogue.machine import BLOCK, BlockState
from services.archiver.catalogue.store import datablocks, datasets, files
from services.archiver.catalogue.store.datablocks import Row
from services.archiver.catalogue.store.files import File
from shared.chain.context import StepContext
from shared.chain.errors import UserError
from shared.chain.tally import Tally
from shared.contracts import subjects
from shared.contracts.errors import NotFound
from shared.objects.port import Objects, Stored
from shared.objects.remove import remove
from shared.runtime.log import log
from shared.service.unit import Unit, Units

Start = Callable[[Unit, OfDataset], Awaitable[UUID]]
"""Starts a chain with the commit of the unit, and returns its id."""
PACKED = frozenset({BlockState.PACKED, BlockState.REGISTERED})
NAMED = 10
"""Files that an error names; the others are counted."""


class PostUpload:
    """The steps of the post-upload chain.

    `target`: bytes of files that a datablock should have. `storage`: the name of the long-term storage that they are for."""

    def __init__(self, units: Units, objects: Objects, *, target: int, storage: str) -> None:
        self._units, self._objects, self._target, self._storage = units, objects, target, storage
        self.start: Start  # set when the chains are there, of which this makes one

    async def create_datablocks(self, ctx: StepContext, state: OfDataset) -> None:
        """Compares sizes of uploaded files with those registered, then plans the datablocks. UserError names the files that differ."""
        registered = await files.of_dataset(self._units.pool, state.dataset)
        if not registered:
            raise UserError("no files were registered")
        prefix = layout.landing_prefix(state.dataset)
        sizes = {one.key.removeprefix(prefix): one.size async for one in self._objects.list(prefix)}
        wrong = [_wrong(file, sizes) for file in registered if sizes.get(file.path) != file.size]
        if wrong:
            more = f", and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
            raise UserError(", ".join(wrong[:NAMED]) + more)
        ctx.commit(partial(self._plan, state=state, blocks=share_out(registered, self._target)))

    async def _plan(self, unit: Unit, *, state: OfDataset, blocks: list[list[File]]) -> None:
        db = unit.connection
        await datablocks.delete_all(db, state.dataset)
        for number, packed in enumerate(blocks):
            name = layout.block_name(state.pid, number)
            tar = Tar(name, packed)
            id = await datablocks.insert(
                db,
                state.dataset,
                number,
                name,
                size=sum(file.size for file in packed),
                files=len(packed),
                packed_size=tar.size,
                archive_id=layout.archive_id(state.dataset, name),
                storage=self._storage,
            )
            await files.place(db, state.dataset, id, tar.starts)

    async def upload_to_archivable_storage(self, ctx: StepContext, state: OfDataset) -> None:
        """Packs what is not packed yet, datablock by datablock: landing zone → tar → staging in one pass."""
        blocks = await datablocks.of_dataset(self._units.pool, state.dataset)
        tally = Tally("", blocks, [one for one in blocks if one["state"] in PACKED])
        await ctx.progress(**tally.amounts())
        for block in blocks:
            if block["state"] in BLOCK.sources("pack") and await self._pack(state.dataset, block):
                await ctx.progress(**tally.add(block))

    async def put(self, dataset: UUID, block: Row, *, size: int = 0, sha256: str = "") -> tuple[str, Stored]:
        """Writes a datablock's tar into staging; returns its key and what was stored. `size`, `sha256`: of the tar, if they are known."""
        tar = Tar(block["name"], await files.of_datablock(self._units.pool, block["id"]))
        key, data = layout.staging_key(dataset, block["name"]), tar.stream(partial(self._read, dataset))
        try:
            return key, await self._objects.put(key, data, size=size or tar.size, sha256=sha256)
        except WrongFileError as error:  # otherwise it would be taken for uploaded
            await self._objects.delete([layout.landing_key(dataset, error.path)])
            raise UserError(f"{error}; it was removed: upload it again") from None

    async def _pack(self, dataset: UUID, block: Row) -> bool:
        """False if another run was first."""
        key, stored = await self.put(dataset, block)
        if await datablocks.pack(self._units.pool, block["id"], stored.sha256, key) is None:
            await self._objects.delete([key])
            return False
        log.info("datablock.packed", datablock=str(block["id"]), files=block["files"], bytes=stored.size)
        return True

    async def _read(self, dataset: UUID, path: str) -> AsyncGenerator[bytes, None]:
        try:
            async with aclosing(self._objects.get(layout.landing_key(dataset, path))) as chunks:
                async for chunk in chunks:
                    yield chunk
        except NotFound:
            raise UserError(f"{path} was not uploaded") from None

    async def drop_datablocks(self, ctx: StepContext, state: OfDataset) -> None:
        """Deletes the planned and packed datablocks; the uploaded files stay."""
        await remove(self._objects, layout.staging_prefix(state.dataset))
        await datablocks.delete_all(self._units.pool, state.dataset)

    async def register_datablocks(self, ctx: StepContext, state: OfDataset) -> None:
        """The packed datablocks become visible in the catalogue."""
        catalogue.commit_registration(ctx, state.dataset)

    async def update_lifecycle(self, ctx: StepContext, state: OfDataset) -> None:
        """The dataset may be archived."""
        catalogue.commit_packed(ctx, state.dataset)

    async def report_missing_files(self, ctx: StepContext, state: OfDataset) -> None:
        """The dataset lacks files; if its upload was finished once more meanwhile, it is looked at again."""
        catalogue.commit_lifecycle(ctx, state.dataset, "miss", archivable=False)
        ctx.commit(partial(self._restart, state=state))

    async def _restart(self, unit: Unit, *, state: OfDataset) -> None:
        """Starts the chain once more if the upload was finished again while it ran. The lock on the dataset orders the two."""
        row = await datasets.lock_id(unit.connection, state.dataset)
        if row is not None and row["finish_again"]:  # none: it was abandoned
            chain = await self.start(unit, state)
            row = await datasets.set_chain(unit.connection, state.dataset, chain)
            unit.emit(subjects.event("upload", "finished", state.dataset), datasets.changed(row))


def _wrong(file: File, sizes: dict[str, int]) -> str:
    if file.path not in sizes:
        return f"{file.path} was not uploaded"
    return f"{file.path} has {sizes[file.path]} bytes, {file.size} were registered"
