"""The post-upload chain: files in the landing zone become datablocks in staging."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from uuid import UUID

from services.archiver.archive.packing import File, Tar, WrongFileError, share_out
from services.archiver.archive.state import OfDataset
from services.archiver.catalogue import builtin as catalogue
from services.archiver.catalogue import layout, store
from services.archiver.catalogue.machine import BLOCK
from shared.chain.context import StepContext
from shared.chain.errors import UserError
from shared.contracts import subjects
from shared.contracts.errors import NotFound
from shared.contracts.ids import uuid7
from shared.objects.port import Objects, Stored
from shared.objects.remove import remove
from shared.runtime.log import log
from shared.service.unit import Unit, Units

Q = store.Q
Start = Callable[[Unit, OfDataset], Awaitable[UUID]]
"""Starts a chain with the commit of the unit; its id."""
NAMED = 10
"""Files that an error names; the others are counted."""


class PostUpload:
    """`target`: bytes of files that a datablock aims at. `storage`: the name of the long-term storage they are for."""

    def __init__(self, units: Units, objects: Objects, *, target: int, storage: str) -> None:
        self._units, self._objects, self._target, self._storage = units, objects, target, storage
        self.start: Start  # set when the chains are there, of which this makes one

    async def create_datablocks(self, ctx: StepContext, state: OfDataset) -> None:
        """Holds what was uploaded to what was registered, and shares the files out."""
        files = await store.files(self._units.pool, "files", state.dataset)
        if not files:
            raise UserError("no files were registered")
        prefix = layout.landing_prefix(state.dataset)
        sizes = {one.key.removeprefix(prefix): one.size async for one in self._objects.list(prefix)}
        wrong = [_wrong(file, sizes) for file in files if sizes.get(file.path) != file.size]
        if wrong:
            more = f", and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
            raise UserError(", ".join(wrong[:NAMED]) + more)
        ctx.commit(partial(self._plan, state=state, blocks=share_out(files, self._target)))

    async def _plan(self, unit: Unit, *, state: OfDataset, blocks: list[list[File]]) -> None:
        db = unit.connection
        await db.execute(Q["drop_blocks"], state.dataset)
        for number, files in enumerate(blocks):
            name, id = layout.block_name(state.pid, number), uuid7()
            tar = Tar(name, files)
            size = sum(file.size for file in files)
            archive = layout.archive_id(state.dataset, name)
            await db.execute(
                Q["add_block"], id, state.dataset, number, name, size, len(files), tar.size, archive, self._storage
            )
            await db.execute(Q["place_files"], state.dataset, id, list(tar.starts), list(tar.starts.values()))

    async def upload_to_archivable_storage(self, ctx: StepContext, state: OfDataset) -> None:
        """Packs what is not packed yet, datablock by datablock: landing zone → tar → staging in one pass."""
        for block in await self._units.pool.fetch(Q["blocks"], state.dataset):
            if block["state"] in BLOCK.sources("pack"):
                await self._pack(state.dataset, block)

    async def put(self, dataset: UUID, block: store.Row, *, size: int = 0, sha256: str = "") -> tuple[str, Stored]:
        """A datablock's tar into staging; its key there. `size`, `sha256`: what it has to be, if that is known."""
        tar = Tar(block["name"], await store.files(self._units.pool, "files_of", block["id"]))
        key, data = layout.staging_key(dataset, block["name"]), tar.stream(partial(self._read, dataset))
        try:
            return key, await self._objects.put(key, data, size=size or tar.size, sha256=sha256)
        except WrongFileError as error:  # otherwise it would be taken for uploaded
            await self._objects.delete([layout.landing_key(dataset, error.path)])
            raise UserError(f"{error}; it was removed: upload it again") from None

    async def _pack(self, dataset: UUID, block: store.Row) -> None:
        key, stored = await self.put(dataset, block)
        target, sources = int(BLOCK.target("pack")), BLOCK.sources("pack")
        if await self._units.pool.fetchrow(Q["pack_block"], block["id"], target, stored.sha256, key, sources) is None:
            await self._objects.delete([key])  # another run was first
            return
        log.info("datablock.packed", datablock=str(block["id"]), files=block["files"], bytes=stored.size)

    async def _read(self, dataset: UUID, path: str) -> AsyncGenerator[bytes, None]:
        try:
            async with aclosing(self._objects.get(layout.landing_key(dataset, path))) as chunks:
                async for chunk in chunks:
                    yield chunk
        except NotFound:
            raise UserError(f"{path} was not uploaded") from None

    async def drop_datablocks(self, ctx: StepContext, state: OfDataset) -> None:
        """Nothing half packed stays; what was uploaded does."""
        await remove(self._objects, layout.staging_prefix(state.dataset))
        await self._units.pool.execute(Q["drop_blocks"], state.dataset)

    async def register_datablocks(self, ctx: StepContext, state: OfDataset) -> None:
        catalogue.register(ctx, state.dataset)

    async def update_lifecycle(self, ctx: StepContext, state: OfDataset) -> None:
        catalogue.tell_lifecycle(ctx, state.dataset, "pack", archivable=True)

    async def report_missing_files(self, ctx: StepContext, state: OfDataset) -> None:
        catalogue.tell_lifecycle(ctx, state.dataset, "miss", archivable=False)
        ctx.commit(partial(self._restart, state=state))

    async def _restart(self, unit: Unit, *, state: OfDataset) -> None:
        """Runs again if the upload was finished again meanwhile. (The dataset's row is locked: it was, or it finds us ended.)"""
        row = await unit.connection.fetchrow(Q["lock_dataset_of_chain"], state.dataset)
        if row is not None and row["finish_again"]:  # none: it was abandoned
            chain = await self.start(unit, state)
            row = await unit.connection.fetchrow(Q["set_chain"], state.dataset, chain)
            unit.emit(subjects.event("upload", "finished", state.dataset), store.changed(row))


def _wrong(file: File, sizes: dict[str, int]) -> str:
    if file.path not in sizes:
        return f"{file.path} was not uploaded"
    return f"{file.path} has {sizes[file.path]} bytes, {file.size} were registered"
