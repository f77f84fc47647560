"""Poisoned messages: seen over HTTP, sent back to where they came from."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from shared.bus import topology
from shared.bus.pull import Pull
from shared.contracts import subjects
from shared.contracts.topology import DEAD_WHOLE, REPORTS, TASKS, worker_consumer
from shared.service.middleware.poison import bury
from tests.support.buckets import Bucket
from tests.support.databases import Database
from tests.support.gateway_rig import Gateway, running
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


async def test_a_flood_of_one_source_drops_nothing_of_the_others_and_a_long_message_is_cut(gateway: Gateway) -> None:
    """275 commands of 1 MB emptied DEAD of everybody's messages."""
    bus = gateway.scheduler.bus
    client = await gateway.servers.connect()
    try:
        await bus.publish(subjects.dead("COMMANDS", "bob"), b"{}", headers={"Hr-Dead-Reason": "bob's"})
        flood = [await bus.send(subjects.dead("COMMANDS", "alice"), b"%d" % n) for n in range(300)]
        await asyncio.wait_for(asyncio.gather(*flood), LIMIT)
        state = (await client.jetstream().stream_info("DEAD", subjects_filter="hr.dead.>")).state
        assert state.subjects == {"hr.dead.commands.bob": 1, "hr.dead.commands.alice": 256}
        listed = (await gateway.http.get("/ops/v1/dead", params={"size": 1})).json()["items"]
        assert listed[0]["reason"] == "bob's"

        large = b"[" * 1_000_000
        pull = Pull(bus, REPORTS.name, "schedulers", rank=lambda: 0)
        await pull.start()
        worker = await gateway.servers.connect("worker")
        await worker.jetstream().publish(subjects.report("default"), large, headers={"mine": "x" * 40_000})
        [message] = await asyncio.wait_for(pull.take(), LIMIT)
        await bury(bus, pull, message, REPORTS.name, "Invalid: too deep")
        await pull.stop()
        await worker.close()
        kept = await client.jetstream().get_last_msg("DEAD", "hr.dead.reports.worker")
        assert kept.data is not None
        assert (large.startswith(kept.data), len(kept.data) < DEAD_WHOLE) == (True, True)
        assert "mine" not in (kept.headers or {})
        page = (await gateway.http.get("/ops/v1/dead", params={"token": str((kept.seq or 0) - 1)})).json()
        assert [(item["size"], item["replayable"]) for item in page["items"]] == [(len(large), False)]
    finally:
        await client.close()


async def test_a_dead_letter_goes_back_to_its_own_stream_only(gateway: Gateway) -> None:
    """What it says of itself is its writer's word: a worker may write hr.dead.tasks.worker."""
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
            "hr.task.gone.5.1",  # of a partition whose workers' consumer is gone: nobody would ever take it
            "",
        )
        await topology.ensure_consumer(gateway.scheduler.bus, TASKS.name, worker_consumer("default"))
        for subject in forged:
            await worker.jetstream().publish(
                "hr.dead.tasks.worker",
                b"{}",
                headers={"Hr-Dead-Subject": subject, "Hr-User": "admin", "Hr-Dead-Sequence": "x"},
            )
        task = {"Hr-Dead-Subject": "hr.task.default.5.1", "Hr-User": "admin", "hr-user": "admin", "traceparent": "t"}
        await worker.jetstream().publish("hr.dead.tasks.worker", b"{}", headers=task)
        listed = (await gateway.http.get("/ops/v1/dead")).json()["items"]
        assert [item["subject"] for item in listed if item["replayable"]] == ["hr.task.gone.5.1", "hr.task.default.5.1"]
        refused = await gateway.http.post("/ops/v1/dead/replay", json={"sequences": [1]})
        assert (refused.status_code, "not replayable" in refused.text) == (400, True)
        done = await gateway.http.post("/ops/v1/dead/replay", json={"all": True})
        assert done.json() == {"replayed": [9], "missing": [], "refused": list(range(1, 9))}
        await wait_until(lambda: any(message.subject == "hr.task.default.5.1" for message in heard))
        assert not [m.subject for m in heard if m.subject in forged]
        (back,) = (m for m in heard if m.subject == "hr.task.default.5.1")
        assert back.headers == {"traceparent": "t"}
    finally:
        await worker.close()
        await admin.close()
