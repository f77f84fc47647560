"""Small datasets on their way through archiver and retriever, and what has to be true of them in the end."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from services.archiver.catalogue.machine import BlockState, JobState
from shared.contracts.states import ResultStatus
from tests.support.datasets import flip
from tests.support.observed import World
from tests.support.tars import members

LIMIT = 60.0
"""Seconds; a killed step goes on after its lease (15 s) and a round of the sweeper (5 s)."""
FILES = {"a.fits": b"a" * 600_000, "b.fits": b"b" * 600_000, "c.txt": b"c"}
"""Two datablocks of at most 1 MiB; the last file is small enough to be an inline value."""


class Paths:
    """Datasets of one test: `pids[n]` is the one that is to be struck at the n-th place."""

    def __init__(self, world: World, count: int) -> None:
        self.world = world
        self.pids = [f"chaos/{uuid4().hex[:12]}" for _ in range(count)]

    async def each(self, work: Any, *more: Sequence[Any]) -> list[Any]:
        """`work(pid, …)` for all of them at once."""
        return list(await asyncio.gather(*(work(*one) for one in zip(self.pids, *more, strict=True))))

    async def uploaded(self, pid: str) -> None:
        await self.world.datasets.register(pid, FILES)
        await self.world.datasets.upload(pid, FILES)

    async def packed(self, pid: str) -> None:
        await self.uploaded(pid)
        await self.world.datasets.finish(pid)
        await self.world.datasets.until(pid, "datasetCreated", LIMIT)

    async def archive(self, pid: str) -> str:
        """The job."""
        return await self.world.datasets.job(pid, "archive")

    async def archived(self, pid: str) -> None:
        """Until it is over, to the last step."""
        world = self.world

        async def cleared() -> bool:
            return not (await world.datasets.get(pid))["datasetlifecycle"]["isOnCentralDisk"]

        await world.system.wait_until(cleared, timeout=LIMIT, on_timeout=lambda: world.datasets.explain(pid))

    async def damaged(self, pid: str) -> None:
        """Archived; then its first datablock is found damaged, and the file of that is uploaded once more."""
        await self.packed(pid)
        await self.archive(pid)
        await self.archived(pid)
        dataset = (await self.world.datasets.get(pid))["id"]
        flip(min((self.world.lts / "data/datasets" / dataset).rglob("*.tar")))
        retrieval = await self.world.datasets.retrieval(pid=pid)
        await self.world.datasets.until_retrieval(retrieval["id"], "partial")
        await self.world.datasets.upload(pid, {"a.fits": FILES["a.fits"]})

    async def asked(self, pid: str) -> tuple[str, dict[str, str]]:
        """A retrieval that is to produce results of a session: its id, and results by path."""
        world = self.world
        session = str(await world.edge.session(function="echo"))
        body = {"results": [{"name": path} for path in FILES]}
        made = (await world.datasets.post(f"/compute/v1/sessions/{session}/results", body, 201))["results"]
        results = {one["name"]: one["id"] for one in made}
        wanted = [{"path": path, "result": result} for path, result in results.items()]
        retrieval = await world.datasets.retrieval(pid=pid, session=session, results=wanted)
        return retrieval["id"], results


async def on_lts(world: World, pid: str) -> None:
    """The dataset is on long-term storage, whole and as its rows say; nothing is left of it anywhere else."""
    dataset = await world.datasets.get(pid)
    lifecycle = dataset["datasetlifecycle"]
    assert (lifecycle["archiveStatusMessage"], lifecycle["archivable"], lifecycle["retrievable"]) == (
        "datasetOnArchiveDisk",
        False,
        True,
    )
    stored = world.on_lts(dataset["id"])
    rows = await world.rows("SELECT * FROM archiver.datablocks WHERE dataset = $1 ORDER BY number", dataset["id"])
    assert [row["state"] for row in rows] == [BlockState.VALIDATED] * 2
    assert sorted(stored) == sorted(name for row in rows for name in _names(row))
    inside: dict[str, bytes] = {}
    for row in rows:
        tar, manifest = (stored[name] for name in _names(row))
        assert (len(tar), hashlib.sha256(tar).hexdigest()) == (row["packed_size"], row["chk"])
        sums = (world.lts / "sums" / row["archive_id"]).read_text()
        assert sums.split()[0] == row["chk"]
        found = members(tar)
        assert found.pop(f"{row['name']}/manifest-sha256.txt") == manifest
        inside |= {name.partition("/data/")[2]: data for name, data in found.items() if "/data/" in name}
    assert inside == FILES
    for room in ("landing", "staging"):
        assert await world.objects(f"{room}/{dataset['id']}/") == {}
    jobs = await world.rows("SELECT * FROM archiver.jobs WHERE dataset = $1 AND type = 'archive'", dataset["id"])
    assert {job["state"] for job in jobs} == {JobState.FINISHED_SUCCESSFUL}


async def clean(world: World) -> None:
    """Nothing lies where things only pass, and nobody has given up on a message."""
    for room in ("landing/", "staging/"):
        assert await world.objects(room) == {}
    assert await world.dead() == []


def _names(row: dict[str, Any]) -> list[str]:
    name = row["archive_id"].rpartition("/")[2]
    return [name, f"{name}.manifest-sha256.txt"]


async def produced(world: World, results: dict[str, str]) -> None:
    """Every result has its value, and the bytes are the file's."""
    for path, result in results.items():
        row = await world.row("SELECT * FROM scheduler.results WHERE id = $1", result)
        assert (row["status"], row["size"]) == (ResultStatus.COMPLETED, len(FILES[path]))
        value = await world.edge.ask("GET", f"/compute/v1/results/{result}/data")
        assert value.content == FILES[path]
