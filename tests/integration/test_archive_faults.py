"""Long-term storage that lies, long-term storage that is full, and files that come too late."""

import os
from collections.abc import AsyncIterator

import pytest

from services.archiver.catalogue.machine import BlockState
from shared.objects.layout import MARKER
from shared.objects.storage_init import init_folder
from tests.support.datasets import DATA, file_list, flip
from tests.support.observed import World, observed
from tests.support.wait import wait_until

FILES = {"a.fits": b"a" * 600_000, "b.fits": b"b" * 600_000}


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with observed("hr.evt.>") as world:
        yield world


async def packed(world: World, pid: str) -> str:
    """The dataset's id."""
    dataset = await world.datasets.register(pid, FILES)
    await world.datasets.upload(pid, FILES)
    await world.datasets.finish(pid)
    await world.datasets.until(pid, "datasetCreated")
    return str(dataset["id"])


async def states(world: World, dataset: str) -> list[int]:
    rows = await world.rows("SELECT state FROM archiver.datablocks WHERE dataset = $1 ORDER BY number", dataset)
    return [row["state"] for row in rows]


async def test_what_does_not_come_back_as_it_was_written_is_undone(world: World) -> None:
    """A bit flips on long-term storage between the copy and the validation. The second job finds everything as it was."""
    pid, moved = "faults/rotten", "archival.move_datablocks_to_lts"
    dataset = await packed(world, pid)
    await world.stops.set(moved, pid)
    first = await world.datasets.job(pid, "archive")
    await world.stops.reached(moved, pid)
    assert await states(world, dataset) == [BlockState.STORED] * 2
    tar = sorted((world.lts / "data/datasets" / dataset).rglob("*.tar"))[1]
    flip(tar)
    await world.stops.release(moved, pid)

    failed = await world.datasets.until_job(first, "finishedUnsuccessful", timeout=60)
    assert "were written" in failed["message"]
    assert tar.name in failed["message"]
    lifecycle = (await world.datasets.until(pid, "scheduleArchiveJobFailed"))["datasetlifecycle"]
    assert (lifecycle["archivable"], lifecycle["retrievable"], lifecycle["isOnCentralDisk"]) == (True, False, True)
    assert world.on_lts(dataset) == {}
    assert await states(world, dataset) == [BlockState.REGISTERED] * 2
    assert len(await world.objects(f"staging/{dataset}/")) == 2
    assert "may be tried again" in (await world.datasets.explain(pid))["summary"]

    second = await world.datasets.job(pid, "archive")
    await world.datasets.until_job(second, "finishedSuccessful")
    assert (await world.datasets.get(pid))["datasetlifecycle"]["archiveStatusMessage"] == "datasetOnArchiveDisk"
    assert await states(world, dataset) == [BlockState.VALIDATED] * 2
    assert len(world.on_lts(dataset)) == 4


async def test_a_full_storage_is_waited_for(world: World) -> None:
    """And whoever asks learns what is waited for. When there is room, the chain goes on by itself."""
    pid = "faults/full"
    dataset = await packed(world, pid)
    await world.system.stop("archiver")
    full = {"HEADRACE_LTS_RESERVE_MIB": str(1 << 30)}
    await world.system.start_service("archiver", replica="archiver-full", env=full)
    job = await world.datasets.job(pid, "archive")

    async def received() -> bool:
        return any("room on long-term storage" in reason for reason in (await world.datasets.explain(pid))["reasons"])

    await wait_until(received, timeout=20, on_timeout=lambda: world.datasets.explain(pid))
    told_of = " ".join((await world.datasets.explain(pid))["reasons"])
    assert "have to stay free" in told_of
    assert "2 datablocks are registered" in told_of
    assert (await world.datasets.get(pid))["datasetlifecycle"]["archiveStatusMessage"] == "started"
    assert world.on_lts(dataset) == {}

    await world.system.stop("archiver-full")
    await world.system.restart("archiver")
    await world.datasets.until_job(job, "finishedSuccessful", timeout=60)
    assert await states(world, dataset) == [BlockState.VALIDATED] * 2


async def test_a_storage_that_is_not_there_is_waited_for(world: World) -> None:
    """Its share was unmounted: the archiver made the folder on the local disk, said that the dataset was archived, and the bytes
    were gone when the share was back. Now nobody writes or believes anything there, everybody says so, and the chain goes on."""
    pid = "faults/unmounted"
    dataset = await packed(world, pid)
    lts, away = world.lts, world.lts.with_name("lts-away")
    lts.rename(away)
    try:
        lts.mkdir()  # the mount point
        job = await world.datasets.job(pid, "archive")
        await storage_is_missed(world, pid, "not mounted")
        init_folder(lts, "lts-a")  # another share is mounted there
        await storage_is_missed(world, pid, "another storage")
        (lts / MARKER).unlink()
        assert list(lts.iterdir()) == []
        lts.rmdir()
        await storage_is_missed(world, pid, "no folder")
        assert not lts.exists()
        assert (await world.datasets.get(pid))["datasetlifecycle"]["archiveStatusMessage"] == "started"
    finally:
        away.rename(lts)
    await world.datasets.until_job(job, "finishedSuccessful", timeout=60)
    assert len(world.on_lts(dataset)) == 4
    await world.system.until_ready()

    lts.rename(away)  # what is not there is not lost either: a retrieval waits
    try:
        retrieval = (await world.datasets.retrieval(pid=pid))["id"]
        await wait_until(
            lambda: waits(world, retrieval, "no folder"),
            on_timeout=lambda: world.edge.get(f"{DATA}/retrievals/{retrieval}"),
        )
    finally:
        away.rename(lts)
    await world.datasets.until_retrieval(retrieval, "done")


async def storage_is_missed(world: World, pid: str, why: str) -> None:
    """The dataset, the status and both services' health say it."""

    async def received() -> bool:
        explained = " ".join((await world.datasets.explain(pid))["reasons"])
        ready = await world.edge.plain.get("/health/ready")
        unwell = ready.json()["services"]
        lts = [one["lts"] if isinstance(one := unwell[name], dict) else one for name in ("archiver", "retriever")]
        return ready.status_code == 503 and all(why in text for text in (explained, *lts))

    await wait_until(received, timeout=20, on_timeout=lambda: world.datasets.explain(pid))
    status = await world.edge.get("/ops/v1/status")
    assert not status["ok"]
    assert any(why in one["checks"].get("lts", "") for one in status["services"])


async def waits(world: World, retrieval: str, why: str) -> bool:
    seen = await world.edge.get(f"{DATA}/retrievals/{retrieval}")
    return seen["status"] == "running" and why in seen["error"]


async def test_what_a_killed_archiver_left_half_written_goes(world: World) -> None:
    half, fresh = world.lts / "parts/left", world.lts / "parts/being-written"
    half.parent.mkdir(parents=True, exist_ok=True)
    for part in (half, fresh):
        part.write_bytes(b"half a tar")
    os.utime(half, (0, 0))
    await world.system.kill("archiver")
    await world.system.restart("archiver")
    await world.system.wait_until(lambda: not half.exists())
    assert fresh.exists()
    fresh.unlink()


async def test_no_file_comes_while_datablocks_are_packed(world: World) -> None:
    """It would be in none of the datablocks, and lost when the landing zone is cleared."""
    pid, place = "faults/late", f"datablock.0.{BlockState.PACKED}"
    await world.datasets.register(pid, FILES)
    await world.datasets.upload(pid, FILES)
    await world.stops.set(place, pid)
    await world.datasets.finish(pid)
    await world.stops.reached(place, pid)
    late = {"pid": pid, "dataFileList": file_list({"late.fits": b"l"})}
    answer = await world.edge.ask("POST", f"{DATA}/origdatablocks", json=late)
    assert answer.status_code == 409
    assert "is being packed" in answer.json()["detail"]
    await world.stops.release(place, pid)
    assert (await world.datasets.until(pid, "datasetCreated"))["numberOfFiles"] == len(FILES)


async def test_an_upload_finished_while_its_chain_is_failing_is_looked_at_again(world: World) -> None:
    """What came last came after the chain had looked, and its `finish` before the chain had ended."""
    pid, last = "faults/twice", "post_upload.create_datablocks"
    await world.datasets.register(pid, FILES)
    await world.datasets.upload(pid, {"a.fits": FILES["a.fits"]})
    await world.stops.set(last, pid)
    await world.datasets.finish(pid)
    await world.stops.reached(last, pid)
    await world.datasets.upload(pid, {"b.fits": FILES["b.fits"]})
    await world.datasets.finish(pid)
    await world.stops.release(last, pid)
    await world.datasets.until(pid, "datasetCreated")
