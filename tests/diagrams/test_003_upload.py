"""Diagram 003, Upload Data Sequence: client, landing zone, archival service, catalogue; arrow by arrow.

Other than drawn, and why: docs/adr/0009-archival-diagrams.md. `Upload finished` is a POST (`/archiver/api/v1/upload/finished`), and
so is the request for addresses, which gives one for each file; the catalogue is the archiver's own, at `/catalogue/api/v3`.
"""

import hashlib
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.support.datasets import ARCHIVER, CATALOGUE, file_list
from tests.support.observed import World, observed

PID = "diagram/upload"
FILES = {"a.fits": b"a" * 65536, "sub/b.fits": b"b" * 65536}


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with observed() as world:
        yield world


async def test_upload(world: World) -> None:
    arrows, edge = world.arrows, world.edge
    await world.stops.set("post_upload.create_datablocks", PID)

    # 1  C → S: Register DataSets, POST api/v3/Datasets;  2  S → C: PID
    registered = await edge.ask("POST", f"{CATALOGUE}/datasets", json={"pid": PID, "datasetName": "drawn"})
    assert registered.status_code == 201
    dataset = registered.json()
    assert dataset["pid"] == PID
    assert dataset["datasetlifecycle"]["archiveStatusMessage"] == "filesNotReadyYet"
    await arrows.next("hr.rpc.archiver.dataset.create", pid=PID)
    received = await arrows.next(f"hr.evt.dataset.created.{dataset['id']}", pid=PID)
    assert received["archive_status"] == "filesNotReadyYet"
    row = await world.row("SELECT * FROM archiver.datasets WHERE pid = $1", PID)
    assert (str(row["id"]), row["owner"], row["dataset_name"], row["files"]) == (dataset["id"], "admin", "drawn", 0)

    # 3  C → S: Create OrigDataBlocks, POST api/v3/OrigDatablocks
    body = {"pid": PID, "dataFileList": file_list(FILES)}
    block = await edge.ask("POST", f"{CATALOGUE}/origdatablocks", json=body)
    assert block.status_code == 201
    assert (block.json()["size"], block.json()["numberOfFiles"]) == (131072, 2)
    await arrows.next("hr.rpc.archiver.origdatablock.create", pid=PID)
    await arrows.next(f"hr.evt.origdatablock.created.{dataset['id']}", pid=PID)
    files = await world.rows("SELECT path, size, chk FROM archiver.files ORDER BY path")
    assert files == file_list(FILES)

    # 4  C → A: PID;  5  A → C: Presigned Upload URL
    signed = await edge.ask("POST", f"{ARCHIVER}/upload/urls", json={"pid": PID, "paths": list(FILES)})
    assert signed.status_code == 200
    urls = {one["path"]: one for one in signed.json()["urls"]}
    assert urls.keys() == FILES.keys()
    await arrows.next("hr.rpc.archiver.upload.sign", pid=PID)
    assert await world.objects("") == {}

    # 6  C → L: Upload dataset: by its address alone, past all services
    async with httpx.AsyncClient(trust_env=False) as client:
        for path, data in FILES.items():
            url, headers = urls[path]["url"], urls[path]["headers"]
            assert (await client.put(url, content=data, headers=headers)).status_code == 200
    landed = await world.objects("landing/")
    assert landed == {f"landing/{dataset['id']}/{path}": data for path, data in FILES.items()}

    # 7  C → A: Upload finished
    assert not arrows.any("hr.step.*")
    finished = await edge.ask("POST", f"{ARCHIVER}/upload/finished", json={"pid": PID})
    assert finished.status_code == 200
    await arrows.next("hr.rpc.archiver.upload.finish", pid=PID)
    row = await world.row("SELECT chain FROM archiver.datasets WHERE pid = $1", PID)
    await arrows.together(
        ("hr.step.archiver.post_upload.create_datablocks", {"chain": str(row["chain"])}),
        (f"hr.evt.upload.finished.{dataset['id']}", {"pid": PID}),
    )
    await world.stops.release("post_upload.create_datablocks", PID)
    packed = await world.datasets.until(PID, "datasetCreated")
    assert packed["size"] == sum(map(len, FILES.values()))
    assert hashlib.sha256(FILES["a.fits"]).hexdigest() == files[0]["chk"]
