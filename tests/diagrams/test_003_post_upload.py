"""Diagram 003, Post-Upload Task Chain: client, archival service, worker, landing zone, catalogue, archivable storage.

The chain is held at the commit of each step, so that what a step did, and what has not been done yet, can be seen.

Other than drawn, and why: docs/adr/0009-archival-diagrams.md. `Upload finished` is a POST. `Create Datablocks` compares what was
uploaded with what was registered and plans the datablocks; their bytes are made while they go to archivable storage, in one
pass. Datablocks and lifecycle are registered in the transaction of the step, where the diagram has a POST and a PUT in a loop.
"""

import hashlib
from collections.abc import AsyncIterator

import pytest

from services.archiver.catalogue.machine import BlockState
from tests.support.datasets import CATALOGUE
from tests.support.observed import World, observed
from tests.support.tars import members

PID = "diagram/post-upload"
FILES = {f"{n:02}.fits": bytes([n]) * 65536 for n in range(20)}
"""1.25 MiB: two datablocks of at most 1 MiB."""
STEPS = ("create_datablocks", "upload_to_archivable_storage", "register_datablocks", "update_lifecycle")


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with observed() as world:
        yield world


async def blocks(world: World) -> list[dict[str, object]]:
    return await world.rows("SELECT * FROM archiver.datablocks ORDER BY number")


async def test_post_upload(world: World) -> None:
    arrows, stops, datasets = world.arrows, world.stops, world.datasets
    places = [f"post_upload.{step}" for step in STEPS]
    for place in places:
        await stops.set(place, PID)
    dataset = (await datasets.register(PID, FILES))["id"]
    await datasets.upload(PID, FILES)

    # 1  C → AS: Upload finished
    await datasets.finish(PID)
    await arrows.next("hr.rpc.archiver.upload.finish", pid=PID)

    # 2  AS → J: Create DataBlocks Task
    chain = await world.row("SELECT * FROM archiver.chains WHERE kind = 'post_upload'")
    await arrows.next("hr.step.archiver.post_upload.create_datablocks", chain=str(chain["id"]))
    await stops.reached(places[0], PID)

    # 3  L → L: Task: Create Datablocks
    assert await blocks(world) == []
    assert await world.objects("staging/") == {}
    await stops.release(places[0], PID)
    await stops.reached(places[1], PID)
    planned = await blocks(world)
    assert [row["files"] for row in planned] == [16, 4]

    # 4  L → A: Task: Upload to Archivable Storage (critical)
    await arrows.next("hr.step.archiver.post_upload.upload_to_archivable_storage", chain=str(chain["id"]))
    staged = await world.objects(f"staging/{dataset}/")
    packed = await blocks(world)
    assert {row["state"] for row in packed} == {BlockState.PACKED}
    assert [row["staging_key"] for row in packed] == sorted(staged, key=lambda key: key.rpartition("/")[2])
    inside: dict[str, bytes] = {}
    for row in packed:
        tar = staged[str(row["staging_key"])]
        assert (len(tar), hashlib.sha256(tar).hexdigest()) == (row["packed_size"], row["chk"])
        inside |= {name.partition("/data/")[2]: data for name, data in members(tar).items() if "/data/" in name}
    assert inside == FILES
    assert set(await world.objects("landing/")) == {f"landing/{dataset}/{path}" for path in FILES}
    assert (await world.edge.get(f"{CATALOGUE}/datasets/{PID.replace('/', '%2F')}/datablocks"))["items"] == []

    # 5  J → S: Task: Register datablocks (retry)
    await stops.release(places[1], PID)
    await arrows.next("hr.step.archiver.post_upload.register_datablocks", chain=str(chain["id"]))
    await stops.reached(places[2], PID)
    assert not arrows.any("hr.evt.datablock.registered.*")
    await stops.release(places[2], PID)
    await stops.reached(places[3], PID)
    await arrows.together(
        ("hr.step.archiver.post_upload.update_lifecycle", {"chain": str(chain["id"])}),
        (f"hr.evt.datablock.registered.{dataset}", {"pid": PID}),
    )
    registered = (await world.edge.get(f"{CATALOGUE}/datasets/{PID.replace('/', '%2F')}/datablocks"))["items"]
    assert [(one["archiveId"], one["packedSize"], one["chk"], one["chkAlg"]) for one in registered] == [
        (row["archive_id"], row["packed_size"], row["chk"], "sha256") for row in packed
    ]

    # 6  J → S: Task: Update Dataset Lifecycle (retry)
    before = (await datasets.get(PID))["datasetlifecycle"]
    assert (before["archiveStatusMessage"], before["archivable"]) == ("filesNotReadyYet", False)
    await stops.release(places[3], PID)
    await arrows.together(
        (f"hr.evt.dataset.changed.{dataset}", {"pid": PID}),
        (f"hr.evt.chain.done.{chain['id']}", {"kind": "post_upload"}),
    )
    after = (await datasets.get(PID))["datasetlifecycle"]
    assert (after["archiveStatusMessage"], after["archivable"], after["retrievable"]) == ("datasetCreated", True, False)
