"""Datasets and the files that they are registered to have."""

from collections.abc import Sequence
from uuid import UUID

from services.archiver.archive.packing import File
from services.archiver.archive.uploads import live
from services.archiver.catalogue import builtin as catalogue
from services.archiver.catalogue import layout, store
from services.archiver.catalogue.machine import ARCHIVE, RETRIEVE, ArchiveState, RetrieveState, verb_to, wire
from shared.chain.chains import Chains
from shared.contracts import subjects
from shared.contracts.catalogue import (
    Dataset,
    DatasetCreate,
    DatasetPage,
    DatasetRef,
    LifecycleUpdate,
    OrigDatablock,
    OrigDatablockCreate,
)
from shared.contracts.endpoints.catalogue import (
    DATASET_CREATE,
    DATASET_GET,
    DATASET_LIFECYCLE,
    DATASET_LIST,
    ORIGDATABLOCK_CREATE,
)
from shared.contracts.errors import AlreadyExists, Conflict, HeadraceError, Invalid
from shared.contracts.ids import uuid7
from shared.contracts.paging import Page
from shared.objects.layout import in_words, path_fault
from shared.objects.port import Objects
from shared.runtime.log import log
from shared.service.context import Context
from shared.service.paging import fitting, place_of, token_of
from shared.service.service import Service
from shared.service.unit import Unit

Q = store.Q


class Datasets:
    def __init__(self, db: store.Db, chains: Chains, objects: Objects) -> None:
        self._db, self._chains, self._objects = db, chains, objects

    def register(self, service: Service) -> None:
        service.on(DATASET_CREATE, self.create)
        service.on(DATASET_GET, self.get)
        service.on(DATASET_LIST, self.list)
        service.on(DATASET_LIFECYCLE, self.lifecycle)
        service.on(ORIGDATABLOCK_CREATE, self.add_files)

    async def create(self, unit: Unit, ctx: Context, asked: DatasetCreate) -> Dataset:
        said = (
            ctx.user,
            asked.owner_group,
            asked.source_folder,
            asked.dataset_name,
            asked.contact_email,
            asked.description,
        )
        row = await unit.connection.fetchrow(Q["add_dataset"], uuid7(), asked.pid, *said)
        if row is not None:
            unit.emit(subjects.event("dataset", "created", row["id"]), store.changed(row))
            return store.dataset_of(row)
        row = await unit.connection.fetchrow(Q["dataset"], asked.pid)
        if row is None:  # abandoned a moment ago
            raise store.no_dataset(asked.pid)
        names = ("owner", "owner_group", "source_folder", "dataset_name", "contact_email", "description")
        if tuple(row[name] for name in names) != said:
            raise AlreadyExists(f"there is a dataset {asked.pid!r} already, and it is another", field="pid")
        return store.dataset_of(row)

    async def get(self, ctx: Context, asked: DatasetRef) -> Dataset:
        return store.dataset_of(await store.dataset(self._db, ctx, asked.pid))

    async def list(self, ctx: Context, asked: Page) -> DatasetPage:
        owner = None if ctx.is_admin else ctx.user
        rows = await self._db.fetch(Q["datasets"], place_of(asked, UUID), owner, asked.size + 1)
        items, more = fitting([store.dataset_of(row) for row in rows], asked.size)
        return DatasetPage(items, token_of(asked, items[-1].id) if more else "")

    async def lifecycle(self, unit: Unit, ctx: Context, asked: LifecycleUpdate) -> Dataset:
        """From the retriever. A status that is there already is no error."""
        row = await store.dataset(unit.connection, ctx, asked.pid, "lock_dataset")
        archive, retrieve = None, None
        if asked.archive_status_message is not None:
            archive = next(state for state in ArchiveState if wire(state) == asked.archive_status_message)
            if archive != row["archive_state"]:
                ARCHIVE.check(verb_to(ARCHIVE, archive), ArchiveState(row["archive_state"]), asked.pid)
        if asked.retrieve_status_message is not None:
            retrieve = next(state for state in RetrieveState if wire(state) == asked.retrieve_status_message)
            if retrieve != row["retrieve_state"]:
                RETRIEVE.check(verb_to(RETRIEVE, retrieve), RetrieveState(row["retrieve_state"]), asked.pid)
        row = await catalogue.set_lifecycle(
            unit,
            row["id"],
            # A damaged dataset may be archived again until it is whole, whatever is said of a retrieval of it.
            archivable=None if row["damaged"] else asked.archivable,
            retrievable=asked.retrievable,
            on_disk=asked.is_on_central_disk,
            archive_state=archive,
            retrieve_state=retrieve,
        )
        return store.dataset_of(row)

    async def add_files(self, unit: Unit, ctx: Context, asked: OrigDatablockCreate) -> OrigDatablock:
        db = unit.connection
        row = await store.dataset(db, ctx, asked.pid, "lock_dataset")
        files = _files(asked)
        there = {one["path"]: one for one in await db.fetch(Q["files_at"], row["id"], [file.path for file in files])}
        if there and (same := await self._again(db, asked.pid, files, there)) is not None:
            return same
        if there and not asked.replace:
            raise AlreadyExists(f"dataset {asked.pid} has a file {min(there)!r} already", field="dataFileList")
        if row["archive_state"] not in ARCHIVE.sources("pack"):
            state = ArchiveState(row["archive_state"])
            raise Conflict(f"dataset {asked.pid} is {state.name}: it takes no more files", field="pid")
        if await live(self._chains, row):  # what came now would be in no datablock
            raise Conflict(f"dataset {asked.pid} is being packed: it takes no more files", field="pid")
        await self._check_folders(db, row, files)
        if there:
            await self._drop(unit, row["id"], files, there)
        id, size = uuid7(), sum(file.size for file in files)
        await db.execute(Q["add_origdatablock"], id, row["id"], size, len(files))
        columns = ([f.path for f in files], [f.size for f in files], [f.chk for f in files])
        await db.execute(Q["add_files"], row["id"], id, *columns)
        await db.execute(Q["count_origdatablocks"], list({one["origdatablock"] for one in there.values()}))
        counted = await db.fetchrow(Q["count_files"], row["id"])
        unit.emit(subjects.event("origdatablock", "created", row["id"]), store.changed(counted))
        return OrigDatablock(id, asked.pid, size, len(files))

    async def _drop(self, unit: Unit, dataset: UUID, files: Sequence[File], there: dict[str, store.Row]) -> None:
        """They are registered anew. What was uploaded of those with other content now is of no use: it is removed."""
        await unit.connection.execute(Q["drop_files"], dataset, list(there))
        stale = [
            layout.landing_key(dataset, file.path)
            for file in files
            if file.path in there and there[file.path]["chk"] != file.chk
        ]

        async def remove() -> None:
            try:
                await self._objects.delete(stale)
            except HeadraceError as error:  # it is found out when it is packed
                log.info("upload.stale", dataset=str(dataset), objects=len(stale), error=error.message)

        if stale:
            unit.after.append(remove)

    async def _check_folders(self, db: store.Db, row: store.Row, files: Sequence[File]) -> None:
        """A file that is a folder too could not be unpacked."""
        paths = [file.path for file in files]
        above = sorted({folder for path in paths for folder in layout.folders(path)})
        crossing = next(iter(set(above) & set(paths)), None) or await db.fetchval(
            Q["crossing"], row["id"], above, paths
        )
        if crossing is not None:
            raise Invalid(f"{crossing!r}: one of these is a file and a folder at once", field="dataFileList")

    async def _again(
        self, db: store.Db, pid: str, files: Sequence[File], there: dict[str, store.Row]
    ) -> OrigDatablock | None:
        """The same files once more change nothing. None if these are not the files of one that is there."""
        blocks = {one["origdatablock"] for one in there.values()}
        same = all(
            file.path in there and (there[file.path]["size"], there[file.path]["chk"]) == (file.size, file.chk)
            for file in files
        )
        block = await db.fetchrow(Q["origdatablock"], min(blocks))
        if not same or len(blocks) > 1 or block["files"] != len(files):
            return None
        return OrigDatablock(block["id"], pid, block["size"], block["files"])


def _files(asked: OrigDatablockCreate) -> list[File]:
    """Invalid with all that is wrong with the paths, not with the first only; `field`: where the first is."""
    seen: set[str] = set()
    faults: list[str] = []
    first = 0
    for place, file in enumerate(asked.data_file_list):
        fault = "it stands twice" if file.path in seen else path_fault(file.path)
        seen.add(file.path)
        if fault:
            first = first if faults else place
            faults.append(f"{file.path!r}: {fault}")
    if faults:
        raise Invalid(f"not paths of files: {in_words(faults)}", field=f"dataFileList[{first}].path")
    return [File(file.path, file.size, file.chk) for file in asked.data_file_list]
