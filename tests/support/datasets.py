"""A user of the catalogue: registers, uploads, archives, retrieves, over HTTP as anybody would."""

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from tests.support.edge import Edge
from tests.support.wait import wait_until

ARCHIVER, DATA = "/archiver/api/v1", "/data/v1"
CATALOGUE = "/catalogue/api/v3"
"""The address of the seed's diagrams, which SciCat's own contract will need."""


def file_list(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The files as an original datablock names them."""
    return [{"path": p, "size": len(d), "chk": hashlib.sha256(d).hexdigest()} for p, d in files.items()]


class Datasets:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    async def post(self, path: str, body: Any, status: int) -> Any:
        answer = await self._edge.ask("POST", path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def register(self, pid: str, files: Mapping[str, bytes]) -> dict[str, Any]:
        dataset: dict[str, Any] = await self.post(f"{DATA}/datasets", {"pid": pid}, 201)
        await self.post(f"{DATA}/origdatablocks", {"pid": pid, "dataFileList": file_list(files)}, 201)
        return dataset

    async def upload(self, pid: str, files: Mapping[str, bytes]) -> None:
        signed = await self.post(f"{ARCHIVER}/upload/urls", {"pid": pid, "paths": list(files)}, 200)
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            puts = (http.put(one["url"], content=files[one["path"]], headers=one["headers"]) for one in signed["urls"])
            sent = await asyncio.gather(*puts)
        assert all(answer.status_code == 200 for answer in sent)

    async def finish(self, pid: str) -> None:
        await self.post(f"{ARCHIVER}/upload/finished", {"pid": pid}, 200)

    async def get(self, pid: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._edge.get(f"{DATA}/datasets/{quote(pid, safe='')}")
        return found

    async def find(self, pid: str) -> dict[str, Any] | None:
        answer = await self._edge.ask("GET", f"{DATA}/datasets/{quote(pid, safe='')}")
        found: dict[str, Any] | None = answer.json() if answer.status_code == 200 else None
        return found

    async def explain(self, pid: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._edge.get(f"{ARCHIVER}/datasets/{quote(pid, safe='')}/explain")
        return found

    async def until(self, pid: str, archive_status: str, timeout: float = 30) -> dict[str, Any]:
        """Until the dataset's lifecycle says so."""

        async def there() -> dict[str, Any] | None:
            found = await self.get(pid)
            return found if found["datasetlifecycle"]["archiveStatusMessage"] == archive_status else None

        found = await wait_until(there, timeout=timeout, every=0.1, on_timeout=lambda: self.explain(pid))
        assert found is not None
        return found

    async def job(self, pid: str, kind: str) -> str:
        return str((await self.post(f"{DATA}/jobs", {"type": kind, "pid": pid}, 201))["id"])

    async def until_job(self, job: str, status: str, timeout: float = 30) -> dict[str, Any]:
        async def there() -> dict[str, Any] | None:
            found: dict[str, Any] = await self._edge.get(f"{DATA}/jobs/{job}")
            return found if found["jobStatusMessage"] == status else None

        async def seen() -> Any:
            return await self._edge.get(f"{DATA}/jobs/{job}")

        found = await wait_until(there, timeout=timeout, every=0.1, on_timeout=seen)
        assert found is not None
        return found

    async def store(self, pid: str, files: Mapping[str, bytes]) -> None:
        """All the way to long-term storage."""
        await self.register(pid, files)
        await self.upload(pid, files)
        await self.finish(pid)
        await self.until(pid, "datasetCreated")
        await self.until_job(await self.job(pid, "archive"), "finishedSuccessful")

    async def retrieval(self, **asked: Any) -> dict[str, Any]:
        made: dict[str, Any] = await self.post(f"{DATA}/retrievals", asked, 201)
        return made

    async def until_retrieval(self, retrieval: str, status: str, timeout: float = 30) -> dict[str, Any]:
        async def there() -> dict[str, Any] | None:
            found: dict[str, Any] = await self._edge.get(f"{DATA}/retrievals/{retrieval}")
            return found if found["status"] == status else None

        async def seen() -> Any:
            return await self._edge.get(f"{DATA}/retrievals/{retrieval}")

        found = await wait_until(there, timeout=timeout, every=0.1, on_timeout=seen)
        assert found is not None
        return found


def flip(path: Path) -> None:
    """One bit, as a disk does it."""
    with path.open("r+b") as file:
        file.seek(700)
        byte = file.read(1)
        file.seek(700)
        file.write(bytes([byte[0] ^ 1]))
