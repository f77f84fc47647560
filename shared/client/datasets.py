"""Datasets: registered, uploaded, archived, looked at."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any
from uuid import uuid4

import msgspec

from shared.client.errors import NotFoundError
from shared.client.http import Http
from shared.client.paging import items, plain_items
from shared.client.paths import ARCHIVER, DATA, segment
from shared.client.upload_addresses import Address
from shared.contracts import catalogue as k

UPLOADS = 500
"""Files of a page of uploads: the archiver looks for each in object storage."""


class Datasets:
    """The catalogue's datasets, as the contracts have them (`shared/contracts/catalogue/`)."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def get(self, pid: str) -> k.Dataset:
        """The dataset; NotFoundError if there is none."""
        return await self._http.ask("GET", _path(pid), k.Dataset)

    def list(
        self, search: str = "", *, status: str = "", group: str = "", damaged: bool = False
    ) -> AsyncIterator[k.Dataset]:
        """Datasets, newest first: those that fit all that is given (`DatasetList`)."""
        query: dict[str, Any] = {"search": search, "status": status, "group": group}
        if damaged:
            query["damaged"] = "true"
        return items(self._http, f"{DATA}/datasets", k.DatasetPage, **query)

    def files(self, pid: str) -> AsyncIterator[k.StoredFile]:
        """The files of an archived dataset, in the order of their paths."""
        return items(self._http, f"{_path(pid)}/files", k.FilePage)

    async def explain(self, pid: str) -> k.DatasetState:
        """Why the dataset is where it is."""
        return await self._http.ask("GET", f"{ARCHIVER}/datasets/{segment(pid)}/explain", k.DatasetState)

    def one(self, pid: str) -> "OneDataset":
        """What can be done with one dataset."""
        return OneDataset(self._http, pid)


class OneDataset:
    """One dataset, as plain JSON values. Each change may be asked for again without harm."""

    def __init__(self, http: Http, pid: str) -> None:
        self._http, self.pid = http, pid
        self._path = _path(pid)
        self._archiver = f"{ARCHIVER}/datasets/{segment(pid)}"

    async def get(self) -> dict[str, Any]:
        """The dataset; NotFoundError if there is none."""
        found: dict[str, Any] = await self._http.get(self._path)
        return found

    async def find(self) -> dict[str, Any] | None:
        """The dataset, or None if there is none."""
        try:
            return await self.get()
        except NotFoundError:
            return None

    async def explain(self) -> dict[str, Any]:
        """Its `summary`, and the `reasons` for it."""
        found: dict[str, Any] = await self._http.get(f"{self._archiver}/explain")
        return found

    def files(self, datablock: str = "") -> AsyncIterator[dict[str, Any]]:
        """Its files as they are in its datablocks, in the order of their paths; `datablock`: only those of one."""
        return plain_items(self._http, f"{self._path}/files", datablock=datablock)

    def uploads(self) -> AsyncIterator[dict[str, Any]]:
        """Its registered files, and which of them are uploaded; until it is packed."""
        return plain_items(self._http, f"{self._archiver}/uploads", size=UPLOADS)

    def datablocks(self) -> AsyncIterator[dict[str, Any]]:
        """Its datablocks, in the order in which they were packed."""
        return plain_items(self._http, f"{self._path}/datablocks")

    # -- what changes it

    async def create(self, **about: str) -> dict[str, Any]:
        """Registers it. `about`: fields of `DatasetCreate`, in the catalogue's spelling (`ownerGroup`)."""
        made: dict[str, Any] = await self._http.post(f"{DATA}/datasets", {"pid": self.pid, **about})
        return made

    async def add(self, files: Iterable[k.DataFile], *, replace: bool = False) -> None:
        """Registers files of it, at most 1,000. `replace`: those that are registered with other content are registered anew."""
        body = {"pid": self.pid, "dataFileList": msgspec.to_builtins(list(files))}
        await self._http.post(f"{DATA}/origdatablocks", body | ({"replace": True} if replace else {}))

    async def sign(self, paths: Iterable[str]) -> Mapping[str, Address]:
        """An address to upload to for each path, at most 1,000. The addresses are secrets, and valid for 15 minutes at most."""
        signed = await self._http.post(f"{ARCHIVER}/upload/urls", {"pid": self.pid, "paths": list(paths)})
        return {one["path"]: Address(one["url"], one.get("headers", {})) for one in signed["urls"]}

    async def finish(self) -> dict[str, Any]:
        """All of its files are uploaded: it is packed from now on."""
        found: dict[str, Any] = await self._http.post(f"{ARCHIVER}/upload/finished", {"pid": self.pid})
        return found

    async def abandon(self) -> dict[str, Any]:
        """Gives it up. It is named by its id: a repeat does nothing to another dataset that has the pid by then."""
        found = await self.find()
        body = {"id": found["id"]} if found else {}
        gone: dict[str, Any] = await self._http.post(f"{self._archiver}/abandon", body)
        return gone

    async def archive(self) -> str:
        """The id of the job that archives it."""
        body = {"type": "archive", "pid": self.pid, "id": str(uuid4())}
        return str((await self._http.post(f"{DATA}/jobs", body))["id"])

    async def job(self, job: str) -> dict[str, Any]:
        """How a job of it goes: its `jobStatusMessage` and `message`."""
        found: dict[str, Any] = await self._http.get(f"{DATA}/jobs/{job}")
        return found


def _path(pid: str) -> str:
    return f"{DATA}/datasets/{segment(pid)}"


def archive_status(dataset: Mapping[str, Any]) -> str:
    """The status of a dataset's archiving (`ArchiveStatus`)."""
    return str(dataset["datasetlifecycle"]["archiveStatusMessage"])
