"""One dataset as the catalogue and the archiver know it."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

from shared.client.cli.files import File
from shared.client.cli.steady import Steady, segment
from shared.client.cli.trouble import RefusedError

CATALOGUE, ARCHIVER = "/catalogue/api/v3", "/archiver/api/v1"
PAGE = 1000
UPLOADS = 500
"""Files of a page of uploads: the archiver looks for each in object storage."""


class Dataset:
    def __init__(self, api: Steady, pid: str) -> None:
        self._api, self.pid = api, pid
        self._at = f"{CATALOGUE}/datasets/{segment(pid)}"

    def get(self) -> dict[str, Any]:
        found: dict[str, Any] = self._api.get(self._at)
        return found

    def find(self) -> dict[str, Any] | None:
        try:
            return self.get()
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    def explain(self) -> dict[str, Any]:
        told: dict[str, Any] = self._api.get(f"{ARCHIVER}/datasets/{segment(self.pid)}/explain")
        return told

    def files(self) -> Iterator[dict[str, Any]]:
        """As they are in its datablocks, in the order of their paths."""
        return self._pages("files")

    def files_of(self, datablock: str) -> Iterator[dict[str, Any]]:
        return self._pages("files", datablock=datablock)

    def uploads(self) -> Iterator[dict[str, Any]]:
        """Registered files, and which of them are uploaded; until the dataset is packed."""
        return self._pages("uploads", at=f"{ARCHIVER}/datasets/{segment(self.pid)}", size=UPLOADS)

    def datablocks(self) -> list[dict[str, Any]]:
        return list(self._pages("datablocks"))

    def _pages(self, what: str, *, at: str = "", size: int = PAGE, **query: str) -> Iterator[dict[str, Any]]:
        token = None
        while True:
            page = self._api.get(f"{at or self._at}/{what}", size=size, token=token, **query)
            yield from page["items"]
            if not (token := page["next"]):
                return

    # -- what changes it; each may be said again

    def create(self, **about: str) -> dict[str, Any]:
        made: dict[str, Any] = self._api.post(f"{CATALOGUE}/datasets", {"pid": self.pid, **about})
        return made

    def add(self, files: Sequence[File], *, replace: bool = False) -> None:
        """`replace`: some of them are registered with other content."""
        listed = [{"path": file.path, "size": file.size, "chk": file.chk} for file in files]
        more = {"replace": True} if replace else {}
        self._api.post(f"{CATALOGUE}/origdatablocks", {"pid": self.pid, "dataFileList": listed, **more})

    def sign(self, files: Sequence[File]) -> dict[str, str]:
        """An address to upload to for each path."""
        asked = {"pid": self.pid, "paths": [file.path for file in files]}
        return {one["path"]: one["url"] for one in self._api.post(f"{ARCHIVER}/upload/urls", asked)["urls"]}

    def finish(self) -> dict[str, Any]:
        said: dict[str, Any] = self._api.post(f"{ARCHIVER}/upload/finished", {"pid": self.pid})
        return said

    def abandon(self) -> dict[str, Any]:
        """By its id: a repeat does nothing to another dataset that has the pid by then."""
        found = self.find()
        asked = {"id": found["id"]} if found else {}
        gone: dict[str, Any] = self._api.post(f"{ARCHIVER}/datasets/{segment(self.pid)}/abandon", asked)
        return gone

    def archive(self) -> str:
        """The job that archives it."""
        asked = {"type": "archive", "pid": self.pid, "id": str(uuid4())}
        return str(self._api.post(f"{CATALOGUE}/jobs", asked)["id"])

    def job(self, job: str) -> dict[str, Any]:
        seen: dict[str, Any] = self._api.get(f"{CATALOGUE}/jobs/{job}")
        return seen


def status(dataset: dict[str, Any]) -> str:
    return str(dataset["datasetlifecycle"]["archiveStatusMessage"])
