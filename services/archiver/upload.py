"""The post-upload chain: files in the landing zone become datablocks in staging."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from uuid import UUID

from services.archiver import layout, store
from services.archiver.catalogue import builtin as catalogue
from services.archiver.machine import BLOCK
from services.archiver.pack import File, Tar, WrongFileError, share_out
from services.archiver.state import OfDataset
from shared.bus.unit import Unit, Units
from shared.chain.context import StepContext
from shared.chain.errors import UserError
from shared.contracts.errors import NotFound
from shared.contracts.ids import uuid7
from shared.objects.port import Objects
from shared.objects.remove import remove
from shared.runtime.log import log

Q = store.Q
NAMED = 10
"""Files that an error names; the others are counted."""


class PostUpload:
    """`target`: bytes of files that a datablock aims at. `storage`: the name of the long-term storage they are for."""

    def __init__(self, units: Units, objects: Objects, *, target: int, storage: str) -> None:
        self._units, self._objects, self._target, self._storage = units, objects, target, storage

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

    async def _pack(self, dataset: UUID, block: store.Row) -> None:
        tar = Tar(block["name"], await store.files(self._units.pool, "files_of", block["id"]))
        key = layout.staging_key(dataset, block["name"])
        try:
            stored = await self._objects.put(key, tar.stream(partial(self._read, dataset)), size=tar.size)
        except WrongFileError as error:  # otherwise it would be taken for uploaded
            await self._objects.delete([layout.landing_key(dataset, error.path)])
            raise UserError(f"{error}; it was removed: upload it again") from None
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


def _wrong(file: File, sizes: dict[str, int]) -> str:
    if file.path not in sizes:
        return f"{file.path} was not uploaded"
    return f"{file.path} has {sizes[file.path]} bytes, {file.size} were registered"
