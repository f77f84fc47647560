"""Diagram 003, Retrieval Task Chain: archival service, worker, retrieval storage, catalogue, LTS.

The chains are held at the commit of each step, so that what a step did, and what has not been done yet, can be seen.

Other than drawn, and why: docs/adr/0009-archival-diagrams.md. The archiver's chain hands the job to the retriever, which has a chain
of its own and speaks to the catalogue by requests on the bus where the diagram has PUTs. A step asks the catalogue for the
datablocks first. The dataset is `datasetRetrieved` before the job is `finishedSuccessful`. Addresses to download from are not posted
anywhere: they are made when somebody asks for them.
"""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.support.datasets import CATALOGUE, DATA
from tests.support.observed import World, observed

PID = "diagram/retrieval"
FILES = {f"{n:02}.fits": bytes([n]) * 65536 for n in range(20)}
STEPS = (
    "job_in_progress",
    "lifecycle_started",
    "find_datablocks",
    "download_datablocks",
    "validate_datablocks",
    "produce_results",
    "lifecycle_retrieved",
    "job_finished",
)


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with observed() as world:
        yield world


async def test_retrieval(world: World) -> None:
    arrows, stops, datasets = world.arrows, world.stops, world.datasets
    await datasets.store(PID, FILES)
    dataset = (await datasets.get(PID))["id"]
    tars = {name: data for name, data in world.on_lts(dataset).items() if name.endswith(".tar")}
    for step in STEPS:
        await stops.set(f"retrieval.{step}", PID)

    async def step(number: int) -> None:
        """Lets the step before count, and waits until this one has done its work."""
        if number:
            await stops.release(f"retrieval.{STEPS[number - 1]}", PID)
        await arrows.next(f"hr.step.retriever.retrieval.{STEPS[number]}", chain=job)
        await stops.reached(f"retrieval.{STEPS[number]}", PID)

    async def back() -> list[dict[str, Any]]:
        return await world.rows("SELECT * FROM retriever.datablocks WHERE retrieval = $1 ORDER BY archive_id", job)

    # 1  AS → J: Create Retrieval Task JobID, DatasetID
    job = await datasets.job(PID, "retrieve")
    await arrows.next("hr.rpc.archiver.job.create", type="retrieve", pid=PID)
    await arrows.next("hr.step.archiver.retrieve.hand_to_retriever", chain=job)
    await arrows.next("hr.rpc.retriever.retrieval.create", pid=PID, id=job, job=job)
    await arrows.next(f"hr.step.retriever.retrieval.{STEPS[0]}", chain=job)
    retrieval = await world.row("SELECT * FROM retriever.retrievals WHERE id = $1", job)
    assert (retrieval["pid"], str(retrieval["job"])) == (PID, job)

    # 2  J → S: inProgress (retry)
    await arrows.next("hr.rpc.archiver.job.update", job=job, jobStatusMessage="inProgress")
    await arrows.next(f"hr.evt.archive.changed.{job}", status="inProgress")
    await stops.reached(f"retrieval.{STEPS[0]}", PID)
    assert (await world.edge.get(f"{CATALOGUE}/jobs/{job}"))["jobStatusMessage"] == "inProgress"

    # 3  J → S: started (retry)
    await step(1)
    assert arrows.any("hr.rpc.archiver.dataset.lifecycle", pid=PID, retrieveStatusMessage="started")
    lifecycle = (await datasets.get(PID))["datasetlifecycle"]
    assert (lifecycle["retrieveStatusMessage"], lifecycle["retrievable"]) == ("started", True)

    # not drawn: which datablocks there are
    await step(2)
    assert arrows.any("hr.rpc.archiver.datablock.list", pid=PID)

    # 4  LTS → R: Task: Download Datablocks from LTS (critical)
    assert await world.objects("retrieval/") == {}
    await step(3)
    brought = await world.objects("retrieval/")
    assert {key.rpartition("/")[2]: data for key, data in brought.items()} == tars
    assert [row["retrieved"] for row in await back()] == [False, False]

    # 5  J → R: Task: Validate Datablocks (critical)
    await step(4)
    assert [row["retrieved"] for row in await back()] == [True, True]
    for row in await back():
        data = brought[f"retrieval/{row['archive_id']}"]
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (row["chk"], row["packed_size"])
    await step(5)

    # 7  J → S: datasetRetrieved (retry), before
    await step(6)
    assert arrows.any("hr.rpc.archiver.dataset.lifecycle", pid=PID, retrieveStatusMessage="datasetRetrieved")
    assert (await datasets.get(PID))["datasetlifecycle"]["retrieveStatusMessage"] == "datasetRetrieved"
    assert (await world.edge.get(f"{CATALOGUE}/jobs/{job}"))["jobStatusMessage"] == "inProgress"

    # 6  J → S: finishedSuccessful (retry)
    await step(7)
    assert (await world.edge.get(f"{CATALOGUE}/jobs/{job}"))["jobStatusMessage"] == "finishedSuccessful"
    await stops.release(f"retrieval.{STEPS[7]}", PID)
    await arrows.together(
        (f"hr.evt.retrieval.changed.{job}", {"status": "done"}), (f"hr.evt.chain.done.{job}", {"kind": "retrieval"})
    )

    # 8  J → S: Retrieval URL: on demand
    urls = await world.edge.get(f"{DATA}/retrievals/{job}/urls")
    assert [one["name"] for one in urls["items"]] == sorted(tars)
    async with httpx.AsyncClient(trust_env=False) as client:
        for one in urls["items"]:
            assert (await client.get(one["url"])).content == tars[one["name"]]
