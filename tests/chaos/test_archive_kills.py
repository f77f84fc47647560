"""Archiver and retriever are killed at each step of their chains; NATS and object storage go away in the middle of them.

One kill strikes several datasets, each at another place: a step has done its work, and the transaction that would make it
count has not committed (`tests/support/stops.py`). Killed processes hold the steps up for their leases, once a test.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from services.archiver.catalogue.machine import BlockState
from tests.support.chaos.archive import LIMIT, Paths, clean, on_lts, produced
from tests.support.observed import World, watching
from tests.support.processes import Processes
from tests.support.wait import wait_until

pytestmark = pytest.mark.chaos

POST_UPLOAD = (
    "post_upload.create_datablocks",
    f"datablock.0.{BlockState.PACKED}",  # the first tar is in staging, no row says so
    f"datablock.1.{BlockState.PACKED}",
    "post_upload.upload_to_archivable_storage",
    "post_upload.register_datablocks",
    "post_upload.update_lifecycle",
)
ARCHIVAL = (
    "archival.job_forwarded",
    "archival.job_in_progress",
    "archival.lifecycle_started",
    f"datablock.1.{BlockState.STORED}",  # of move_datablocks_to_lts: one is noted, the other only copied
    f"datablock.1.{BlockState.VALIDATED}",  # of validate_datablocks
    "archival.mark_retrievable",
    "archival.job_finished",
    "archival.clear_staging_and_landing_zone",
)
REPAIR = ("repair.repack_damaged_datablocks", "repair.move_datablocks_to_lts")
RETRIEVAL = (
    "retrieval.job_in_progress",
    "retrieval.lifecycle_started",
    "retrieval.find_datablocks",
    "retrieval.download_datablocks",
    "retrieval.validate_datablocks",
    "produced.b.fits",  # of produce_results: the scheduler has the value, the retrieval has not noted it
    "retrieval.lifecycle_retrieved",
    "retrieval.job_finished",
)
AWAY = 10.0
"""Seconds for which object storage is away."""


@pytest.fixture
async def world(system: Processes) -> AsyncIterator[World]:
    async with watching(system, "hr.evt.>") as world:
        yield world


async def test_the_archiver_is_killed_at_each_step_after_an_upload(world: World) -> None:
    """And while it repairs what was found damaged: the datablock that is whole is not touched."""
    paths, repairs, stops = Paths(world, len(POST_UPLOAD)), Paths(world, len(REPAIR)), world.stops
    datasets = world.datasets
    await asyncio.gather(paths.each(paths.uploaded), repairs.each(repairs.damaged))
    kept = {pid: await _written(world, pid) for pid in repairs.pids}
    struck = [*zip(paths.pids, POST_UPLOAD, strict=True), *zip(repairs.pids, REPAIR, strict=True)]
    for pid, place in struck:
        await stops.set(place, pid)
    await paths.each(datasets.finish)
    again = await repairs.each(repairs.archive)
    for pid, place in struck:
        await stops.reached(place, pid)
    await stops.killed("archiver")
    await world.system.restart("archiver")
    await paths.each(lambda pid: datasets.until(pid, "datasetCreated", LIMIT))
    for pid in paths.pids:
        dataset = (await datasets.get(pid))["id"]
        assert len(world.arrows.all(f"hr.evt.datablock.registered.{dataset}")) == 1
    await paths.each(paths.archive)
    await paths.each(paths.archived)
    for job in again:
        await datasets.until_job(job, "finishedSuccessful", timeout=LIMIT)
    await wait_until(lambda: _cleared(world), timeout=LIMIT)
    for pid in [*paths.pids, *repairs.pids]:
        await on_lts(world, pid)
    assert {pid: await _written(world, pid) for pid in repairs.pids} == kept
    await clean(world)


async def test_the_archiver_is_killed_at_each_step_of_archiving(world: World) -> None:
    paths, stops = Paths(world, len(ARCHIVAL)), world.stops
    await paths.each(paths.packed)
    for pid, place in zip(paths.pids, ARCHIVAL, strict=True):
        await stops.set(place, pid)
    jobs = await paths.each(paths.archive)
    for pid, place in zip(paths.pids, ARCHIVAL, strict=True):
        await stops.reached(place, pid)
    await stops.killed("archiver")
    await world.system.restart("archiver")
    await paths.each(paths.archived)
    for pid in paths.pids:
        await on_lts(world, pid)
    for job in jobs:
        received = [one["status"] for one in world.arrows.all(f"hr.evt.archive.changed.{job}")]
        assert received == ["jobSubmitted", "jobForwarded", "inProgress", "finishedSuccessful"]
    await clean(world)


async def _written(world: World, pid: str) -> int:
    """When the last datablock was."""
    dataset = (await world.datasets.get(pid))["id"]
    return max((world.lts / "data/datasets" / dataset).rglob("*.tar")).stat().st_mtime_ns


async def _cleared(world: World) -> bool:
    return not await world.objects("landing/") and not await world.objects("staging/")


async def test_the_retriever_is_killed_at_each_step(world: World) -> None:
    paths, stops = Paths(world, len(RETRIEVAL)), world.stops
    await paths.each(paths.packed)
    await paths.each(paths.archive)
    await paths.each(paths.archived)
    for pid, place in zip(paths.pids, RETRIEVAL, strict=True):
        await stops.set(place, pid)
    asked = await paths.each(paths.asked)
    for pid, place in zip(paths.pids, RETRIEVAL, strict=True):
        await stops.reached(place, pid)
    await stops.killed("retriever")
    await world.system.restart("retriever")
    for pid, (retrieval, results) in zip(paths.pids, asked, strict=True):
        done = await world.datasets.until_retrieval(retrieval, "done", LIMIT)
        assert (done["produced"], done["wanted"]) == (len(results), len(results))
        await produced(world, results)
        lifecycle = (await world.datasets.get(pid))["datasetlifecycle"]
        assert lifecycle["retrieveStatusMessage"] == "datasetRetrieved"
    received = Counter(
        result for frame in world.arrows.all("hr.evt.task.changed.*") for result in frame.get("results", ())
    )
    assert received == {result: 1 for _, results in asked for result in results.values()}
    await clean(world)


async def test_servers_go_away_in_the_middle(world: World) -> None:
    paths, stops, system = Paths(world, 1), world.stops, world.system
    (pid,) = paths.pids
    planned, packed = "post_upload.create_datablocks", f"datablock.0.{BlockState.PACKED}"
    moved, brought = "archival.move_datablocks_to_lts", "retrieval.download_datablocks"
    for place in (planned, packed, moved, brought):
        await stops.set(place, pid)
    await paths.uploaded(pid)
    await world.datasets.finish(pid)

    await stops.reached(planned, pid)
    await system.kill_server("nats")
    await stops.release(planned, pid)  # it commits, and finds nobody to tell
    await system.start_server("nats")

    await stops.reached(packed, pid)
    await system.stop_server("s3")
    await stops.release(packed, pid)  # the second datablock has nowhere to go
    clock = asyncio.get_running_loop().time
    until = clock() + AWAY
    await wait_until(lambda: clock() >= until, timeout=AWAY + 1)
    await system.start_server("s3")
    await world.datasets.until(pid, "datasetCreated", LIMIT)

    await paths.archive(pid)
    await stops.reached(moved, pid)
    await system.wipe_jetstream()
    await stops.release(moved, pid)
    await paths.archived(pid)
    await on_lts(world, pid)

    retrieval, results = await paths.asked(pid)
    await stops.reached(brought, pid)
    await system.wipe_jetstream()
    await stops.release(brought, pid)
    await world.datasets.until_retrieval(retrieval, "done", LIMIT)
    await produced(world, results)
    await clean(world)
