"""Diagrams 000, Create Results Metadata and Create Results: client, control plane, object storage, results table.

Other than drawn, and why: docs/adr/0017-compute-diagrams.md. A value of up to 16 KiB comes with the metadata and lies in the result's
row, in place of object storage; a larger one is uploaded into a result that was created before (diagram Upload Results Data).
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from shared.contracts.states import ResultStatus
from tests.support.observed import World, observed
from tests.support.sessions import COMPUTE

SMALL, LARGE = b"s" * 16384, b"L" * 65536


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with observed() as world:
        yield world


async def test_create_results_metadata(world: World) -> None:
    session = await world.sessions.open()

    # 1  C → CP: Create Results
    answer = await world.edge.ask(
        "POST", f"{COMPUTE}/sessions/{session}/results", json={"results": [{"name": "a"}, {"name": "b"}]}
    )
    asked = await world.arrows.next("hr.rpc.scheduler.result.create", session=session)
    assert asked["results"] == [{"name": "a"}, {"name": "b"}]

    # 2  CP → R: Insert Results Meta Data in Database
    rows = await world.rows("SELECT * FROM scheduler.results WHERE session = $1 ORDER BY name", session)
    assert [(row["name"], row["status"], row["data"], row["object"]) for row in rows] == [
        ("a", ResultStatus.CREATED, None, None),
        ("b", ResultStatus.CREATED, None, None),
    ]
    assert await world.objects("results/") == {}

    # 3  CP → C: Created results metadata
    assert answer.status_code == 201
    received = answer.json()["results"]
    assert [(one["id"], one["name"], one["status"], one["opaque"], one["size"]) for one in received] == [
        (str(row["id"]), row["name"], "created", "", 0) for row in rows
    ]


async def test_create_results(world: World) -> None:
    session, arrows = await world.sessions.open(), world.arrows
    path = f"{COMPUTE}/sessions/{session}/results"

    def body(value: bytes) -> dict[str, object]:
        return {"results": [{"name": "r", "data": base64.b64encode(value).decode()}]}

    # 1  C → CP: Create Results
    answer = await world.edge.ask("POST", path, json=body(SMALL))
    await arrows.next("hr.rpc.scheduler.result.create", session=session)

    # 2  CP → O: Upload data, Results Opaque ID;  3  CP → R: Insert Results Meta Data in Database: one row has both
    row = await world.row("SELECT * FROM scheduler.results WHERE session = $1", session)
    assert (row["status"], row["size"], row["data"]) == (ResultStatus.COMPLETED, len(SMALL), SMALL)
    assert await world.objects(f"results/{session}/") == {}

    # 4  CP → C: Created results metadata
    assert answer.status_code == 201
    (received,) = answer.json()["results"]
    assert (received["id"], received["status"], received["opaque"]) == (
        str(row["id"]),
        "completed",
        f"inline:{row['id']}",
    )

    # The same with a value for object storage. Nothing is created where it is not taken:
    refused = await world.edge.ask("POST", path, json=body(LARGE))
    assert (refused.status_code, refused.json()["field"]) == (413, "results[0].data")
    assert len(await world.rows("SELECT 1 FROM scheduler.results WHERE session = $1", session)) == 1

    # 3  CP → R: Insert Results Meta Data in Database
    (result,) = await world.sessions.results(session, "large")
    await arrows.next("hr.rpc.scheduler.result.create", session=session)
    held = world.held("SELECT 1 FROM scheduler.results WHERE id = $1 FOR UPDATE", UUID(result))
    async with asyncio.TaskGroup() as group, held:
        given = group.create_task(world.sessions.give(result, LARGE))

        # 2  CP → O: Upload data, Results Opaque ID
        said = await arrows.next("hr.rpc.scheduler.result.complete", result=result)
        await world.waited_for()
        assert await world.objects(f"results/{session}/") == {said["object"]: LARGE}
        row = await world.row("SELECT * FROM scheduler.results WHERE id = $1", UUID(result))
        assert (row["status"], row["object"]) == (ResultStatus.CREATED, None)
    row = await world.row("SELECT * FROM scheduler.results WHERE id = $1", UUID(result))
    assert (row["status"], row["object"], row["size"]) == (ResultStatus.COMPLETED, said["object"], len(LARGE))

    # 4  CP → C: Created results metadata
    received = given.result()
    assert (received["id"], received["status"], received["opaque"], received["size"]) == (
        result, "completed", said["object"], len(LARGE)
    )  # fmt: skip
