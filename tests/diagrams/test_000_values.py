"""Diagrams 000, Upload, Download and Import Results Data: client, control plane, sessions, tasks, results, queue, storage.

Rows are held while the control plane is about to change them, so that what it did before can be seen, and that nothing is done yet
that comes later.

Other than drawn, and why: docs/adr/0017-compute-diagrams.md. From `Complete result` to `Get ready tasks` all is one transaction, which
also says in their rows which tasks are chosen for the queue; the queue has them after it. Dependencies are counted down, and the
edges stay. The session is looked at before the upload, and again, under a lock, where the result is completed.
"""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from shared.contracts.states import ResultStatus, TaskStatus
from tests.support.edge import Edge
from tests.support.observed import World, observed
from tests.support.sessions import COMPUTE, task

VALUE = bytes(range(256)) * 256
"""64 KiB."""
LONG = VALUE * 64


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    async with observed(imports=("shelf/",)) as world:
        yield world


class Waiting:
    """A session with two tasks: one waits for `gate`, one for `gate` and `other`."""

    def __init__(self, world: World, session: str, results: list[str], tasks: list[str]) -> None:
        self.world, self.session, self.tasks = world, session, tasks
        self.gate, self.other = results

    @classmethod
    async def of(cls, world: World) -> "Waiting":
        session = await world.sessions.open()
        gate, other = await world.sessions.results(session, "gate", "other")
        tasks = await world.sessions.submit(session, task("add", {"n": 1}, gate), task("add", {"n": 2}, gate, other))
        return cls(world, session, [gate, other], tasks)

    @property
    def lock(self) -> tuple[str, UUID]:
        """What holds the gate."""
        return "SELECT 1 FROM scheduler.results WHERE id = $1 FOR UPDATE", UUID(self.gate)

    async def nothing_yet(self) -> None:
        row = await self.world.row("SELECT * FROM scheduler.results WHERE id = $1", UUID(self.gate))
        assert (row["status"], row["object"]) == (ResultStatus.CREATED, None)
        assert await self.rows() == [(1, TaskStatus.PENDING), (2, TaskStatus.PENDING)]
        assert await self.world.sessions.statuses(self.tasks) == ["pending", "pending"]
        assert not self.world.arrows.any(f"hr.task.*.{self.session}")
        assert not self.world.arrows.any(f"hr.evt.task.changed.{self.session}")

    async def rows(self) -> list[tuple[int, int]]:
        """For each task: how many results it still waits for, and its row's state."""
        query = "SELECT remaining, status FROM scheduler.tasks WHERE id = ANY($1::uuid[]) ORDER BY id"
        return [(row["remaining"], row["status"]) for row in await self.world.rows(query, self.tasks)]

    async def released(self, key: str) -> None:
        """The gate has its value, under this key; what waited for nothing else is in the queue."""
        world = self.world

        # CP → R: Complete result; Get tasks that depend on this result
        # CP → T: Remove this result from the tasks dependencies; Get ready tasks
        # CP → Q: Insert ready tasks into the Queue
        _, batch = await world.arrows.together(
            (f"hr.evt.task.changed.{self.session}", {"results": [self.gate]}),
            (f"hr.task.default.*.{self.session}", {"session": self.session}),
        )
        row = await world.row("SELECT * FROM scheduler.results WHERE id = $1", UUID(self.gate))
        assert (row["status"], row["object"], row["size"]) == (ResultStatus.COMPLETED, key, len(VALUE))
        assert await self.rows() == [(0, TaskStatus.SUBMITTED), (1, TaskStatus.PENDING)]
        (work,) = batch["tasks"]
        assert (work["id"], work["inputs"][0]["object"]) == (self.tasks[0], key)

        # CP → T: Set queued tasks status to Submitted
        assert await world.sessions.statuses(self.tasks) == ["submitted", "pending"]


async def test_upload_results_data(world: World) -> None:
    arrows, waiting = world.arrows, await Waiting.of(world)
    path, prefix = f"{COMPUTE}/results/{waiting.gate}/data", f"results/{waiting.session}/"
    async with asyncio.TaskGroup() as group, world.held(*waiting.lock):
        # 1  C → CP: Upload Results Data
        put = group.create_task(world.edge.ask("PUT", path, content=VALUE))

        # 2  CP → S: Get session metadata: with the result's, and whose they are
        await arrows.next("hr.rpc.scheduler.result.get", result=waiting.gate)

        # 3  CP → O: Upload data, Results Opaque ID
        said = await arrows.next("hr.rpc.scheduler.result.complete", result=waiting.gate, size=len(VALUE))
        await world.waited_for()
        assert await world.objects(prefix) == {said["object"]: VALUE}
        await waiting.nothing_yet()

    # 4 … 9
    await waiting.released(said["object"])

    # 10  CP → C: Updated result metadata
    answer = put.result()
    assert answer.status_code == 200
    received = answer.json()
    assert (received["id"], received["status"], received["opaque"], received["size"]) == (
        waiting.gate, "completed", said["object"], len(VALUE)
    )  # fmt: skip

    # What `Get session metadata` is for: to others there is no such result, and nothing of theirs is stored.
    made = await world.edge.ask("POST", "/ops/v1/users", json={"name": "stranger"})
    async with Edge(world.system.http, made.json()["token"]) as stranger:
        other = f"{COMPUTE}/results/{waiting.other}/data"
        assert (await stranger.ask("PUT", other, content=VALUE)).status_code == 404
    assert list(await world.objects(prefix)) == [said["object"]]
    assert not arrows.any("hr.rpc.scheduler.result.complete", result=waiting.other)


async def test_download_result_data(world: World) -> None:
    session = await world.sessions.open()
    (result,) = await world.sessions.results(session, "long")
    key = (await world.sessions.give(result, LONG))["opaque"]
    path = f"{COMPUTE}/results/{result}/data"

    # 1  C → CP: Download Result Data
    async with world.edge.plain.stream("GET", path) as answer:
        # 2  CP → R: Get result OpaqueID;  3  CP → O: Initiate streamed download associated to OpaqueID
        await world.arrows.next("hr.rpc.scheduler.result.value", result=result)
        assert (answer.status_code, answer.headers["content-length"]) == (200, str(len(LONG)))

        # 4 …  CP → C: Streamed result data, O → CP, CP → C …
        pieces = [piece async for piece in answer.aiter_raw()]
    assert b"".join(pieces) == LONG
    assert len(pieces) > 1

    # It comes from object storage, by its opaque id, each time: another object there is another value here.
    await world.store(key, LONG[::-1])
    assert (await world.edge.ask("GET", path)).content == LONG[::-1]
    part = await world.edge.ask("GET", path, headers={"Range": "bytes=65536-65539"})
    assert (part.status_code, part.content) == (206, LONG[::-1][65536:65540])


async def test_import_results_data(world: World) -> None:
    arrows, waiting = world.arrows, await Waiting.of(world)
    path, key = f"{COMPUTE}/sessions/{waiting.session}/results/import", "shelf/tile"
    await world.store(key, VALUE)

    # What `Get sizes` is for: an object that is not there refuses the whole import.
    pairs = [{"result": waiting.gate, "object": key}, {"result": waiting.other, "object": "shelf/none"}]
    refused = await world.edge.ask("POST", path, json={"objects": pairs})
    assert (refused.status_code, refused.json()["field"]) == (404, "objects[1].object")
    await waiting.nothing_yet()

    async with asyncio.TaskGroup() as group, world.held(*waiting.lock):
        # 1  C → CP: Import Result Data
        answered = group.create_task(world.edge.ask("POST", path, json={"objects": pairs[:1]}))
        await arrows.next("hr.rpc.scheduler.result.import", session=waiting.session, objects=pairs[:1])

        # 2  CP → S: Get session metadata;  3  CP → O: Get sizes of the given OpaqueID;  4  CP → R: Get results to map
        await world.waited_for()
        await waiting.nothing_yet()

    # 5 … 10
    await waiting.released(key)

    # 11  CP → C: Updated result metadata
    answer = answered.result()
    assert answer.status_code == 200
    (received,) = answer.json()["results"]
    assert (received["id"], received["status"], received["opaque"], received["size"]) == (
        waiting.gate,
        "completed",
        key,
        len(VALUE),
    )

    # The object stays where it was, whoever's it is; nothing is copied.
    assert not received["owned"]
    assert await world.objects("shelf/") == {key: VALUE}
    assert await world.objects(f"results/{waiting.session}/") == {}
