"""Streams and consumers are what the data says, whole, however often that is applied."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.bus import topology
from shared.bus.client import Bus
from shared.contracts.topology import EVENTS, STREAMS, TASKS, worker_consumer
from tests.support.bus_rig import connected
from tests.support.servers import Servers


@pytest.fixture
async def bus(nats: Servers) -> AsyncIterator[Bus]:
    async with connected(nats, "scheduler") as bus:
        yield bus


async def config(bus: Bus, stream: str) -> dict[str, Any]:
    answer = await topology.api(bus, f"STREAM.INFO.{stream}")
    return {key: value for key, value in answer["config"].items() if key not in ("metadata", "consumer_limits")}


async def consumer(bus: Bus, stream: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = (await topology.api(bus, f"CONSUMER.INFO.{stream}.{name}"))["config"]
    return found


async def test_it_is_all_there_and_applying_it_again_changes_nothing(bus: Bus) -> None:
    before = {stream.name: await config(bus, stream.name) for stream in STREAMS}
    ack = await bus.publish("hr.evt.session.created.1", b"{}")
    assert await topology.apply(bus) == bus.incarnations
    assert {stream.name: await config(bus, stream.name) for stream in STREAMS} == before
    assert (await bus.publish("hr.evt.session.created.1", b"{}")).seq == ack.seq + 1
    for stream in STREAMS:
        received = before[stream.name]
        wanted = topology.stream_config(stream)
        assert {key: received.get(key, False) for key in wanted} == wanted
        for each in stream.consumers:
            found = await consumer(bus, stream.name, each.name)
            asked = topology.consumer_config(each)
            assert {key: found[key] for key in asked} == asked


async def test_what_somebody_changed_is_restored_whole(bus: Bus) -> None:
    before = await config(bus, "EVENTS")
    changed = {**topology.stream_config(EVENTS), "max_age": 300 * 10**9, "max_msg_size": 100, "description": "mine"}
    assert "error" not in await topology.api(bus, "STREAM.UPDATE.EVENTS", changed)
    own = await consumer(bus, "REPORTS", "schedulers")
    body = {"stream_name": "REPORTS", "config": {**own, "max_ack_pending": 3, "ack_wait": 10**9}, "action": ""}
    assert "error" not in await topology.api(bus, "CONSUMER.CREATE.REPORTS.schedulers.hr.report.>", body)
    assert (await consumer(bus, "REPORTS", "schedulers"))["max_ack_pending"] == 3
    await topology.apply(bus)
    assert await config(bus, "EVENTS") == before
    restored = await consumer(bus, "REPORTS", "schedulers")
    assert (restored["max_ack_pending"], restored["ack_wait"]) == (own["max_ack_pending"], own["ack_wait"])


async def test_a_lost_stream_is_made_again_and_its_loss_is_told(bus: Bus, nats: Servers) -> None:
    received: list[frozenset[str]] = []

    async def hear(lost: frozenset[str]) -> None:
        received.append(lost)

    bus.on_connected(hear)
    incarnation = bus.incarnations["STEPS"]
    await nats.forget("STEPS")
    await bus.prepare()
    await bus.prepare()
    assert received == [frozenset({"STEPS"}), frozenset()]
    assert bus.incarnations["STEPS"] != incarnation


async def test_a_partition_has_a_consumer_of_its_own_and_can_be_emptied(bus: Bus) -> None:
    for name in ("one", "two"):
        await topology.ensure_consumer(bus, TASKS.name, worker_consumer(name))
        for n in range(3):
            await bus.publish(f"hr.task.{name}.9.session-{n}", b"{}")
    assert await topology.purge(bus, TASKS.name, "hr.task.*.*.session-0") == 2
    assert await topology.purge(bus, TASKS.name, "hr.task.one.>") == 2
    left = await topology.api(bus, "CONSUMER.INFO.TASKS.workers-two")
    assert left["num_pending"] == 2
