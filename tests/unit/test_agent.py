"""The worker's loop on the bus in memory: messages and functions that misbehave."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from nats.aio.msg import Msg

from shared.bus import topology
from shared.bus.client import Bus
from shared.bus.context import Context
from shared.bus.pull import delivery
from shared.bus.service import Service
from shared.contracts import ids, subjects
from shared.contracts.topology import TASKS, worker_consumer
from shared.contracts.work import (
    BeatReply,
    Completed,
    Confirm,
    Confirmed,
    Failed,
    Progress,
    Report,
    ReportBatch,
    Started,
    TaskBatch,
    Work,
)
from shared.testing.bus import MemoryBroker
from shared.testing.objects import MemoryObjects
from shared.worker import App, Task
from shared.worker.agent import Agent
from shared.worker.children import Children
from tests.support.wait import wait_until

app = App()


@app.function
async def echo(task: Task) -> object:
    return task.payload


@app.function
async def cancelled(task: Task) -> None:
    """Awaits something that was cancelled."""
    inner = asyncio.get_running_loop().create_future()
    inner.cancel()
    await inner


gates: dict[str, asyncio.Event] = {}


@app.function
async def hold(task: Task) -> None:
    await gates.setdefault(task.payload, asyncio.Event()).wait()


@app.function
async def many(task: Task) -> list[bytes]:
    return [b"x" * task.payload] * task.outputs


@app.function
async def tells(task: Task) -> None:
    for step in range(1000):
        task.progress(step / 1000)


class Rig:
    """One worker with one slot, and what a scheduler would hear and say."""

    def __init__(self, broker: MemoryBroker, bus: Bus, other: Bus) -> None:
        self.broker, self.bus = broker, bus
        self.asked: list[Confirm] = []
        self.session, self._submission, self._lines = ids.uuid7(), ids.submission_id(), 0
        self.agent = Agent(other, MemoryObjects(), app, Children("none"), name="w", partition="default", slots=1)

    def work(self, function: str = "echo", payload: bytes = b"1", outputs: int = 1) -> Work:
        self._lines += 1
        made = [ids.result_id(self._submission, self._lines, n) for n in range(outputs)]
        return Work(ids.task_id(self._submission, self._lines), function, made, payload=msgspec.Raw(payload))

    async def send(self, *works: Work) -> None:
        await self.raw(msgspec.json.encode(TaskBatch(self.session, 1, list(works))))

    async def raw(self, data: bytes) -> None:
        await self.bus.publish(subjects.task("default", 9, self.session), data)

    def batches(self) -> list[list[Report]]:
        data = [data for subject, data in self.broker.published if subject.startswith("hr.report.")]
        return [msgspec.json.decode(each, type=ReportBatch).reports for each in data]

    def reports(self) -> list[Report]:
        return [report for batch in self.batches() for report in batch]

    async def ended(self, work: Work) -> Completed | Failed:
        def found() -> Completed | Failed | None:
            ends = [r for r in self.reports() if isinstance(r, Completed | Failed) and r.task == work.id]
            return ends[0] if ends else None

        report = await wait_until(found)
        assert report is not None
        return report


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    broker = MemoryBroker()
    bus = await broker.connect("scheduler")
    other = await broker.connect("worker", apply_topology=False)
    rig = Rig(broker, bus, other)

    async def confirm(ctx: Context, request: Confirm) -> Confirmed:
        rig.asked.append(request)
        return Confirmed([task for task, _ in request.tasks])

    async def beat(message: Msg) -> None:
        await bus.tell(message.reply, BeatReply([], 60.0))

    service = Service(bus, None, "scheduler", "1.0.0", "")
    service.reads("task", "confirm", Confirm, confirm)
    await service.start()
    await bus.nc.subscribe("hr.beat.worker.*", cb=beat)
    await topology.ensure_consumer(bus, TASKS.name, worker_consumer("default"))
    stop = asyncio.Event()
    running = asyncio.create_task(rig.agent.run(stop, 0.1))
    yield rig
    stop.set()
    await asyncio.wait_for(running, 10)
    await service.stop()
    await other.close()
    await bus.close()


@pytest.mark.parametrize("data", [b'{"session": "\xff\xfe"}', b'{"x": ' + b"[" * 100_000, b'{"session": 1}'])
async def test_a_message_that_does_not_decode_is_buried_and_the_worker_goes_on(rig: Rig, data: bytes) -> None:
    await rig.raw(data)
    work = rig.work()
    await rig.send(work)
    assert isinstance(await rig.ended(work), Completed)
    assert rig.broker.messages("DEAD") == [(subjects.dead("TASKS"), data)]


async def test_a_function_that_raises_cancelled_error_fails_its_task_alone(rig: Rig) -> None:
    bad, good = rig.work("cancelled"), rig.work()
    await rig.send(bad, good)
    assert await rig.ended(bad) == Failed(bad.id, 0, "error", "CancelledError")
    assert isinstance(await rig.ended(good), Completed)


async def test_a_message_that_comes_again_to_its_holder_is_not_acknowledged_as_a_copy(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.worker.agent.LONG", 60.0)  # its start is not told meanwhile
    running = rig.work("hold", b'"again"')
    await rig.send(running)
    held = await wait_until(lambda: rig.agent._holding.get(running.id))
    assert held is not None
    parcel = held.parcel
    first = parcel.message
    assert rig.broker.redeliver() == 1
    await wait_until(lambda: parcel.message is not first)
    assert delivery(parcel.message) == (2, delivery(first)[1])
    assert len(rig.broker.messages("TASKS")) == 1
    gates["again"].set()
    assert isinstance(await rig.ended(running), Completed)
    await wait_until(lambda: not rig.broker.messages("TASKS"))
    assert not rig.asked


async def test_a_task_that_somebody_had_before_is_told_as_started_before_it_runs(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code may be what killed that worker within the 100 ms in which nobody knows who runs it."""
    monkeypatch.setattr("shared.worker.agent.GIVE_BACK", 0.0)
    busy, given_back = rig.work("hold", b'"busy"'), rig.work()
    await rig.send(busy)
    await wait_until(lambda: rig.agent._holding.get(busy.id))
    await rig.send(given_back)
    await wait_until(lambda: rig.agent._holding.waiting)
    await wait_until(lambda: not rig.agent._holding.get(given_back.id))
    gates["busy"].set()
    assert isinstance(await rig.ended(given_back), Completed)
    assert rig.asked[0].tasks == [(given_back.id, 0)]
    told = [[type(r) for r in message if r.task == given_back.id] for message in rig.batches()]
    assert [kinds for kinds in told if kinds] == [[Started], [Completed]]
    await wait_until(lambda: not rig.broker.messages("TASKS"))


async def test_many_values_fit_in_a_report_because_some_become_objects(rig: Rig) -> None:
    work = rig.work("many", b"16384", outputs=64)
    await rig.send(work)
    ended = await rig.ended(work)
    assert isinstance(ended, Completed)
    assert len([output for output in ended.outputs if output.data is not None]) == 16
    assert all(output.size == 16384 and (output.data is None) == bool(output.object) for output in ended.outputs)


async def test_a_report_that_no_message_can_carry_fails_its_task_alone(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.worker.runner.INLINE", 2**30)
    large, small = rig.work("many", b"16384", outputs=64), rig.work()
    await rig.send(large, small)
    failed = await rig.ended(large)
    assert isinstance(failed, Failed)
    assert failed.kind == "error"
    assert "could not be reported" in failed.message
    assert isinstance(await rig.ended(small), Completed)
    await wait_until(lambda: not rig.broker.messages("TASKS"))
    await rig.agent._reports.drained(5)
    assert rig.agent._reports._unstored == 0


async def test_of_many_words_about_progress_the_last_is_told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.worker.agent.PROGRESS", 60.0)
    work = rig.work("tells")
    await rig.send(work)
    assert isinstance(await rig.ended(work), Completed)
    assert [report for report in rig.reports() if isinstance(report, Progress)] == [Progress(work.id, 0, 0.999)]
