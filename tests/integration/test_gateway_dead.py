"""Poisoned messages: seen over HTTP, sent back to where they came from."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from shared.bus.middleware.poison import bury
from shared.bus.pull import Pull
from shared.contracts import subjects
from shared.contracts.topology import REPORTS
from tests.conftest import Bucket, Database
from tests.integration.gateway_edge import Gateway, running
from tests.support.servers import Servers, settled
from tests.support.wait import LIMIT, wait_until


@pytest.fixture
async def gateway(nats: Servers, database: Database, s3: Bucket, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with running(nats, database, s3, tmp_path) as started:
        yield started


async def test_list_and_replay(gateway: Gateway) -> None:
    worker = await gateway.servers.connect("worker")
    bus = gateway.scheduler.bus
    pull = Pull(bus, REPORTS.name, "schedulers", rank=lambda: 0)
    await pull.start()
    subject = subjects.report("default")
    try:
        for number in range(5):
            await worker.jetstream().publish(
                subject, b'{"n": %d, "bad": "\xff"}' % number, headers={"traceparent": "t"}
            )
        buried = 0
        while buried < 5:
            for message in await asyncio.wait_for(pull.take(), LIMIT):
                await bury(bus, pull, message, REPORTS.name, "Invalid: not\nUTF-8")
                buried += 1
        first = (await gateway.http.get("/ops/v1/dead", params={"size": 3})).json()
        assert [item["reason"] for item in first["items"]] == ["Invalid: not UTF-8"] * 3
        assert (first["items"][0]["stream"], first["items"][0]["subject"]) == ("REPORTS", subject)
        assert first["items"][0]["body"].startswith('{"n": 0')
        rest = (await gateway.http.get("/ops/v1/dead", params={"token": first["next"]})).json()
        assert (len(rest["items"]), rest["next"]) == (2, "")
        second = first["items"][1]["sequence"]
        done = await gateway.http.post("/ops/v1/dead/replay", json={"sequences": [second, second, 999]})
        assert done.json() == {"replayed": [second], "missing": [999], "refused": []}, done.text
        [again] = await asyncio.wait_for(pull.take(), LIMIT)
        assert again.data.startswith(b'{"n": 1')
        assert again.headers is not None
        assert not [name for name in again.headers if name.startswith("Hr-Dead")]
        assert again.headers["traceparent"] == "t"
        await pull.ack(again)
        for beyond in (2**63, 2**64, 10**400, 0, -1):
            done = await gateway.http.post("/ops/v1/dead/replay", json={"sequences": [second, beyond]})
            assert (done.status_code, done.json()["field"]) == (400, "sequences[1]"), done.text
        done = await gateway.http.post("/ops/v1/dead/replay", json={"all": True})
        assert len(done.json()["replayed"]) == 4
        assert (await gateway.http.get("/ops/v1/dead")).json() == {"items": [], "next": ""}
        numbers = [message.data[6:7] for message in await asyncio.wait_for(pull.take(), LIMIT)]
        assert set(numbers) <= {b"0", b"2", b"3", b"4"}
    finally:
        await pull.stop()
        await worker.close()


async def test_a_dead_letter_goes_back_to_its_own_stream_only(gateway: Gateway) -> None:
    """What it says of itself is its writer's word: a worker may write hr.dead.tasks."""
    worker = await gateway.servers.connect("worker")
    admin = await gateway.servers.connect()
    heard: list[Msg] = []

    async def hear(message: Msg) -> None:
        heard.append(message)

    try:
        await admin.subscribe("hr.*.>", cb=hear)
        await settled(admin)
        forged = (
            "hr.rpc.scheduler.session.close",
            "hr.cmd.admin.scheduler.session.create",
            "hr.report.default",
            "hr.task.a b",
            "hr.task.*.1",
            "hr.task",
            "",
        )
        for subject in forged:
            await worker.jetstream().publish(
                "hr.dead.tasks",
                b"{}",
                headers={"Hr-Dead-Subject": subject, "Hr-User": "admin", "Hr-Dead-Sequence": "x"},
            )
        task = {"Hr-Dead-Subject": "hr.task.default.5.1", "Hr-User": "admin", "hr-user": "admin", "traceparent": "t"}
        await worker.jetstream().publish("hr.dead.tasks", b"{}", headers=task)
        listed = (await gateway.http.get("/ops/v1/dead")).json()["items"]
        assert [item["replayable"] for item in listed] == [False] * len(forged) + [True]
        refused = await gateway.http.post("/ops/v1/dead/replay", json={"sequences": [1]})
        assert (refused.status_code, "not replayable" in refused.text) == (400, True)
        done = await gateway.http.post("/ops/v1/dead/replay", json={"all": True})
        assert done.json() == {"replayed": [8], "missing": [], "refused": list(range(1, 8))}
        await wait_until(lambda: any(message.subject == "hr.task.default.5.1" for message in heard))
        assert not [m.subject for m in heard if m.subject in forged]
        (back,) = (m for m in heard if m.subject == "hr.task.default.5.1")
        assert back.headers == {"traceparent": "t"}
    finally:
        await worker.close()
        await admin.close()
