"""The bus in memory, held to the suite of the real one; and what only the fake can do."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from shared.bus import topology
from shared.bus.client import Bus
from shared.bus.pull import Pull, delivery
from shared.contracts import ids, subjects
from shared.contracts.endpoints.work import TASK_CONFIRM
from shared.contracts.topology import TASKS, worker_consumer
from shared.contracts.work import BeatReply, Completed, Confirm, Confirmed, ReportBatch, TaskBatch, Work
from shared.service.context import Context
from shared.service.service import Service
from shared.testing.bus import MemoryBroker
from shared.testing.conformance_bus import BusConformance
from shared.testing.objects import MemoryObjects
from shared.testing.streams import matches
from shared.worker import App, Task
from shared.worker.agent import Agent
from shared.worker.children import Children
from tests.support.wait import wait_until


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
async def bus(broker: MemoryBroker) -> AsyncIterator[Bus]:
    bus = await broker.connect("scheduler")
    yield bus
    await bus.close()


@pytest.fixture
async def other(broker: MemoryBroker) -> AsyncIterator[Bus]:
    bus = await broker.connect("gateway", apply_topology=False)
    yield bus
    await bus.close()


@pytest.fixture
async def worker(broker: MemoryBroker) -> AsyncIterator[Bus]:
    bus = await broker.connect("worker", apply_topology=False)
    yield bus
    await bus.close()


class TestMemory(BusConformance):
    pass


@pytest.mark.parametrize(
    ("pattern", "subject", "matched"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("*.b", "a.c", False),
        ("a.b.c", "a.b", False),
    ],
)
def test_wildcards(pattern: str, subject: str, matched: bool) -> None:
    assert matches(pattern, subject) is matched


async def test_it_tells_what_was_left_behind(broker: MemoryBroker, bus: Bus) -> None:
    await bus.publish("hr.report.default", b"x")
    with pytest.raises(AssertionError, match=r"hr\.report\.default"):
        broker.assert_empty()
    pull = Pull(bus, "REPORTS", "schedulers", rank=lambda: 0)
    await pull.start()
    (message,) = await pull.take()
    assert broker.redeliver() == 1
    (again,) = await pull.take()
    assert (delivery(message)[0], delivery(again)[0]) == (1, 2)
    await pull.ack(again)
    await pull.stop()
    broker.assert_empty()
    assert broker.published == [("hr.report.default", b"x")]


# -- a worker on it


app = App()


@app.function
async def echo(task: Task) -> object:
    return task.payload


async def test_a_worker_runs_what_the_queue_holds_and_acks_when_its_report_is_stored(
    broker: MemoryBroker, bus: Bus, worker: Bus
) -> None:
    asked: list[Confirm] = []

    async def confirm(ctx: Context, request: Confirm) -> Confirmed:
        asked.append(request)
        return Confirmed([])

    service = Service(bus, None, "scheduler", "1.0.0", "")
    service.on(TASK_CONFIRM, confirm)
    await service.start()
    beats: list[bytes] = []

    async def beat(message: object) -> None:
        beats.append(message.data)  # type: ignore[attr-defined]
        await bus.publish_core(message.reply, BeatReply([], 60.0))  # type: ignore[attr-defined]

    await bus.nc.subscribe("hr.beat.worker.*", cb=beat)
    await topology.ensure_consumer(bus, TASKS.name, worker_consumer("default"))
    session, submission = ids.uuid7(), ids.submission_id()
    works = [
        Work(ids.task_id(submission, n), "echo", [ids.result_id(submission, n)], payload=msgspec.Raw(b"%d" % n))
        for n in range(6)
    ]
    # One message was delivered to somebody before: its task is asked about, and dropped.
    await bus.publish(subjects.task("default", 9, session), TaskBatch(session, 1, works[5:]))
    before = Pull(bus, TASKS.name, "workers-default")
    await before.start()
    await before.take()
    await before.stop()
    broker.redeliver()
    await bus.publish(subjects.task("default", 9, session), TaskBatch(session, 1, works[:5]))

    agent = Agent(worker, MemoryObjects(), app, Children("none"), name="w", partitions=["default"], slots=2)
    stop = asyncio.Event()
    running = asyncio.create_task(agent.run(stop))

    def reported() -> list[Completed]:
        bodies = [data for _, data in broker.messages("REPORTS")]
        received = [report for body in bodies for report in msgspec.json.decode(body, type=ReportBatch).reports]
        return [report for report in received if isinstance(report, Completed)]

    await wait_until(lambda: len(reported()) == 5)
    assert {report.outputs[0].data for report in reported()} == {b"0", b"1", b"2", b"3", b"4"}
    await wait_until(lambda: broker.messages("TASKS") == [])
    assert beats
    assert [request.tasks for request in asked] == [[(works[5].id, 0)]]
    assert len(reported()) == 5
    stop.set()
    await running
    await service.stop()
