"""Diagram 003, Archival Task Chain: archival service, worker, archivable storage, catalogue, LTS.

The chain is held at the commit of each step, so that what a step did, and what has not been done yet, can be seen.

Other than drawn, and why: docs/adr/0009-archival-diagrams.md. Archiving is asked for by a job of the catalogue (`POST jobs`), not by a
GET with the dataset's id. What the diagram sends with PUT is set in the transaction of the step, and told as an event; job and
dataset are set by a step each, and `archivable` goes off with `started`. One step more at the end clears landing zone and staging.
"""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.archiver.catalogue.machine import BlockState
from tests.support.datasets import CATALOGUE
from tests.support.observed import World, observed
from tests.support.tars import members

PID = "diagram/archival"
FILES = {f"{n:02}.fits": bytes([n]) * 65536 for n in range(20)}
STEPS = (
    "job_forwarded",
    "job_in_progress",
    "lifecycle_started",
    "move_datablocks_to_lts",
    "validate_datablocks",
    "mark_retrievable",
    "job_finished",
    "clear_staging_and_landing_zone",
)


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with observed() as world:
        yield world


async def states(world: World) -> set[int]:
    return {row["state"] for row in await world.rows("SELECT state FROM archiver.datablocks")}


async def test_archival(world: World) -> None:
    arrows, stops, datasets = world.arrows, world.stops, world.datasets
    dataset = (await datasets.register(PID, FILES))["id"]
    await datasets.upload(PID, FILES)
    await datasets.finish(PID)
    await datasets.until(PID, "datasetCreated")
    staged = {key.rpartition("/")[2]: data for key, data in (await world.objects("staging/")).items()}
    for step in STEPS:
        await stops.set(f"archival.{step}", PID)

    async def step(number: int, **received: Any) -> None:
        """Lets the step before count, and waits until this one has done its work. `told`: the event of the one before."""
        if number:
            await stops.release(f"archival.{STEPS[number - 1]}", PID)
        due: tuple[str, dict[str, Any]] = (f"hr.step.archiver.archival.{STEPS[number]}", {"chain": job})
        subject = f"hr.evt.archive.changed.{job}" if "status" in received else f"hr.evt.dataset.changed.{dataset}"
        await arrows.together(due, *([(subject, received)] if received else []))
        await stops.reached(f"archival.{STEPS[number]}", PID)

    async def status() -> str:
        return str((await world.edge.get(f"{CATALOGUE}/jobs/{job}"))["jobStatusMessage"])

    async def lifecycle() -> tuple[str, bool, bool]:
        found = (await datasets.get(PID))["datasetlifecycle"]
        return found["archiveStatusMessage"], found["archivable"], found["retrievable"]

    # 1  S → AS: Archive;  2  AS → J: Create Archival Task
    job = await datasets.job(PID, "archive")
    await arrows.next("hr.rpc.archiver.job.create", type="archive", pid=PID)
    await step(0)
    assert (await world.row("SELECT kind FROM archiver.chains WHERE id = $1", job))["kind"] == "archival"
    assert await status() == "jobSubmitted"

    # 3  AS → S: jobForwarded (retry)
    await step(1, status="jobForwarded")
    assert await status() == "jobForwarded"

    # 4  J → S: inProgress;  5  J → S: started (retry)
    await step(2, status="inProgress")
    assert await status() == "inProgress"
    assert await lifecycle() == ("datasetCreated", True, False)
    await stops.release(f"archival.{STEPS[2]}", PID)
    await arrows.together(
        (f"hr.step.archiver.archival.{STEPS[3]}", {"chain": job}),
        (f"hr.evt.dataset.changed.{dataset}", {"archive_status": "started"}),
    )
    await stops.reached(f"archival.{STEPS[3]}", PID)
    assert await lifecycle() == ("started", False, False)

    # 6  A → LTS: Task: Move Datablocks to LTS (critical)
    stored = world.on_lts(dataset)
    assert {name: data for name, data in stored.items() if name.endswith(".tar")} == staged
    for name in staged:
        bag = name.removesuffix(".tar")
        beside = stored[f"{name}.manifest-sha256.txt"]
        assert beside == members(staged[name])[f"{bag}/manifest-sha256.txt"]
    assert await states(world) == {BlockState.STORED}
    assert {key.rpartition("/")[2] for key in await world.objects("staging/")} == set(staged)

    # 7  J → LTS: Task: Validate Datablocks in LTS (critical)
    await step(4)
    assert await states(world) == {BlockState.VALIDATED}
    for row in await world.rows("SELECT name, chk, packed_size FROM archiver.datablocks"):
        tar = stored[f"{row['name']}.tar"]
        assert (hashlib.sha256(tar).hexdigest(), len(tar)) == (row["chk"], row["packed_size"])

    # 8  J → S: retrievable, datasetOnArchiveDisk (retry)
    await step(5)
    assert await lifecycle() == ("started", False, False)
    await step(6, archive_status="datasetOnArchiveDisk")
    assert await lifecycle() == ("datasetOnArchiveDisk", False, True)

    # 9  J → S: finishedSuccessful (retry)
    assert await status() == "inProgress"
    await step(7, status="finishedSuccessful")
    assert await status() == "finishedSuccessful"

    # not drawn: landing zone and staging are cleared, and the dataset says that it is only on LTS
    await stops.release(f"archival.{STEPS[7]}", PID)
    await arrows.together(
        (f"hr.evt.dataset.changed.{dataset}", {"pid": PID}), (f"hr.evt.chain.done.{job}", {"kind": "archival"})
    )
    assert await world.objects("") == {}
    assert not (await datasets.get(PID))["datasetlifecycle"]["isOnCentralDisk"]
    assert world.on_lts(dataset) == stored
