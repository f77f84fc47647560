"""Datasets and the files that they are registered to have."""

from collections.abc import Sequence
from uuid import UUID

from services.archiver.catalogue import builtin as catalogue
from services.archiver.catalogue import layout
from services.archiver.catalogue.machine import ARCHIVE, RETRIEVE, ArchiveState, RetrieveState, verb_to, wire
from services.archiver.catalogue.store import datasets, files
from services.archiver.catalogue.store.datasets import Row
from services.archiver.catalogue.store.files import File
from shared.chain.chains import Chains
from shared.contracts import subjects
from shared.contracts.catalogue import (
    Dataset,
    DatasetCreate,
    DatasetList,
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
from shared.contracts.errors import AlreadyExists, Conflict, HeadraceError, Invalid, NotFound
from shared.db.sql import Db
from shared.objects.layout import in_words, path_fault
from shared.objects.port import Objects
from shared.runtime.log import log
from shared.service.context import Context
from shared.service.paging import fitting, place_of, token_of
from shared.service.service import Service
from shared.service.unit import Unit

_CONTENT = ("owner_group", "source_folder", "dataset_name", "contact_email", "description")
"""What makes a dataset, beside its pid and its owner."""


class Datasets:
    """Datasets: made, looked at, and given their files."""

    def __init__(self, db: Db, chains: Chains, objects: Objects) -> None:
        self._db, self._chains, self._objects = db, chains, objects

    def register(self, service: Service) -> None:
        """Registers the handlers."""
        service.on(DATASET_CREATE, self.create)
        service.on(DATASET_GET, self.get)
        service.on(DATASET_LIST, self.list)
        service.on(DATASET_LIFECYCLE, self.lifecycle)
        service.on(ORIGDATABLOCK_CREATE, self.add_files)

    async def create(self, unit: Unit, ctx: Context, asked: DatasetCreate) -> Dataset:
        """A new dataset. The same again changes nothing; AlreadyExists if the pid is taken by another."""
        row = await datasets.insert(unit.connection, ctx.user, asked)
        if row is not None:
            unit.emit(subjects.event("dataset", "created", row["id"]), datasets.changed(row))
            return datasets.dataset_of(row)
        row = await datasets.find(unit.connection, asked.pid)
        if row is None:  # abandoned a moment ago
            raise datasets.no_dataset(asked.pid)
        content = {name: getattr(asked, name) for name in _CONTENT}
        if row["owner"] != ctx.user or any(row[name] != value for name, value in content.items()):
            raise AlreadyExists(f"there is a dataset {asked.pid!r} already, and it is another", field="pid")
        return datasets.dataset_of(row)

    async def get(self, ctx: Context, asked: DatasetRef) -> Dataset:
        """A dataset of the asker's."""
        return datasets.dataset_of(await datasets.find_owned(self._db, ctx, asked.pid))

    async def list(self, ctx: Context, asked: DatasetList) -> DatasetPage:
        """A page of the asker's datasets, newest first; of everybody's for the admin."""
        owner = None if ctx.is_admin else ctx.user
        rows = await datasets.page(self._db, asked, owner, place_of(asked, UUID), asked.size + 1)
        items, more = fitting([datasets.dataset_of(row) for row in rows], asked.size)
        return DatasetPage(items, token_of(asked, items[-1].id) if more else "")

    async def lifecycle(self, unit: Unit, ctx: Context, asked: LifecycleUpdate) -> Dataset:
        """The retriever says how far the dataset is. A status that it has already is no error."""
        row = await datasets.lock_owned(unit.connection, ctx, asked.pid)
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
            # A damaged dataset may be archived again until it is whole, whatever a retrieval of it reports.
            archivable=None if row["damaged"] else asked.archivable,
            retrievable=asked.retrievable,
            on_disk=asked.is_on_central_disk,
            archive_state=archive,
            retrieve_state=retrieve,
        )
        return datasets.dataset_of(row)

    async def add_files(self, unit: Unit, ctx: Context, asked: OrigDatablockCreate) -> OrigDatablock:
        """Registers files. The same again changes nothing; Conflict once the dataset is packed, AlreadyExists for other content of a path."""
        db = unit.connection
        row = await datasets.lock_owned(db, ctx, asked.pid)
        new = checked_files(asked)
        there = await files.at(db, row["id"], [file.path for file in new])
        if there and (same := await self._again(db, asked.pid, new, there)) is not None:
            return same
        if there and not asked.replace:
            raise AlreadyExists(f"dataset {asked.pid} has a file {min(there)!r} already", field="dataFileList")
        if row["archive_state"] not in ARCHIVE.sources("pack"):
            state = ArchiveState(row["archive_state"])
            raise Conflict(f"dataset {asked.pid} is {state.name}: it takes no more files", field="pid")
        if await has_live_chain(self._chains, row):  # what came now would be in no datablock
            raise Conflict(f"dataset {asked.pid} is being packed: it takes no more files", field="pid")
        await self._check_folders(db, row, new)
        if there:
            await self._drop(unit, row["id"], new, there)
        made = await files.insert(db, row["id"], asked.pid, new)
        await files.count_origdatablocks(db, list({one["origdatablock"] for one in there.values()}))
        counted = await datasets.count_files(db, row["id"])
        unit.emit(subjects.event("origdatablock", "created", row["id"]), datasets.changed(counted))
        return made

    async def _drop(self, unit: Unit, dataset: UUID, new: Sequence[File], there: dict[str, Row]) -> None:
        """Takes out files that are registered anew, and removes what was uploaded of those that have other content now."""
        await files.delete(unit.connection, dataset, list(there))
        stale = [
            layout.landing_key(dataset, file.path)
            for file in new
            if file.path in there and there[file.path]["chk"] != file.chk
        ]

        async def remove() -> None:
            try:
                await self._objects.delete(stale)
            except HeadraceError as error:  # it is found out when it is packed
                log.info("upload.not_removed", dataset=str(dataset), objects=len(stale), error=error.message)

        if stale:
            unit.after.append(remove)

    async def _check_folders(self, db: Db, row: Row, new: Sequence[File]) -> None:
        """Invalid if a path would be a file and a folder at once: that could not be unpacked."""
        paths = [file.path for file in new]
        above = sorted({folder for path in paths for folder in layout.folders(path)})
        crossing = next(iter(set(above) & set(paths)), None) or await files.crossing(db, row["id"], above, paths)
        if crossing is not None:
            raise Invalid(f"{crossing!r}: one of these is a file and a folder at once", field="dataFileList")

    async def _again(self, db: Db, pid: str, new: Sequence[File], there: dict[str, Row]) -> OrigDatablock | None:
        """The same files once more change nothing. None if these are not the files of one that is there."""
        blocks = {one["origdatablock"] for one in there.values()}
        same = all(
            file.path in there and (there[file.path]["size"], there[file.path]["chk"]) == (file.size, file.chk)
            for file in new
        )
        block = await files.find_origdatablock(db, min(blocks))
        if not same or len(blocks) > 1 or block["files"] != len(new):
            return None
        return OrigDatablock(block["id"], pid, block["size"], block["files"])


async def has_live_chain(chains: Chains, row: Row) -> bool:
    """Whether a chain works on the dataset."""
    if row["chain"] is None:
        return False
    try:
        return (await chains.get(row["chain"])).status in ("running", "undoing")
    except NotFound:
        return False


def checked_files(asked: OrigDatablockCreate) -> list[File]:
    """The files of a request. Invalid names all paths that are wrong, not only the first; `field` is the place of the first."""
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
