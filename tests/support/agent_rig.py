"""A worker on the bus in memory with one slot and two partitions, and what a scheduler would hear and say."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from uuid import UUID

import msgspec
import pytest
from nats.aio.msg import Msg

from shared.bus import topology
from shared.bus.client import Bus
from shared.contracts import ids, subjects
from shared.contracts.endpoints.work import TASK_CONFIRM, TASK_SPAWN
from shared.contracts.topology import TASKS, worker_consumer
from shared.contracts.work import (
    Beat,
    BeatReply,
    Completed,
    Confirm,
    Confirmed,
    Control,
    Failed,
    Report,
    ReportBatch,
    Spawn,
    Spawned,
    TaskBatch,
    Work,
)
from shared.service.context import Context
from shared.service.service import Service
from shared.testing.bus import MemoryBroker
from shared.testing.objects import MemoryObjects
from shared.worker import App, Task
from shared.worker.agent import Agent
from shared.worker.children import Children
from shared.worker.commands import Commands
from tests.support.compute_functions import PATH
from tests.support.compute_functions import app as blocking
from tests.support.stand_in import stand_in
from tests.support.wait import wait_until

app = App()
app.functions |= blocking.functions


@app.function
async def echo(task: Task) -> object:
    ran.append(task.id)
    return task.payload


@app.function
async def cancelled(task: Task) -> None:
    """Awaits something that was cancelled."""
    inner = asyncio.get_running_loop().create_future()
    inner.cancel()
    await inner


ran: list[UUID] = []
"""What `echo` was called with, in order."""
gates: dict[str, asyncio.Event] = {}


@app.function
async def hold(task: Task) -> None:
    await gates.setdefault(task.payload, asyncio.Event()).wait()


@app.function
async def cleans_up(task: Task) -> str:
    """Says what it does when it is stopped, which takes a moment; `stubborn`: then it returns as if nothing had been."""
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        await asyncio.sleep(0)
        task.progress(0.9, "cleaned up")
        if task.payload != "stubborn":
            raise
    return "done"


@app.function
async def many(task: Task) -> list[bytes]:
    return [b"x" * task.payload] * task.outputs


@app.function
async def tells(task: Task) -> None:
    for step in range(1000):
        task.progress(step / 1000)


class Stubborn(asyncio.Future[None]):
    """Cannot be cancelled."""

    def cancel(self, msg: object = None) -> bool:
        return False


stubborn: list[Stubborn] = []


@app.function
async def waits_for_the_stubborn(task: Task) -> None:
    stubborn.append(Stubborn())
    await stubborn[-1]


secret: ContextVar[str] = ContextVar("secret", default="")
seen: list[tuple[str, str]] = []
"""The name of the asyncio task in which `who` ran, and what it found in `secret`."""
kept: list[object] = []


@app.function
async def who(task: Task) -> None:
    """`keep`: keeps its asyncio task beyond its end; `set`: sets the secret; `cancel`: asks for its own cancellation."""
    me = asyncio.current_task()
    assert me is not None
    seen.append((me.get_name(), secret.get()))
    if task.payload == "keep":
        kept.append(me)
    elif task.payload == "set":
        secret.set("of this task")
    elif task.payload == "cancel":
        me.cancel()


SOON = 0.003
"""Seconds between two looks: nothing here goes over a network."""


class Rig:
    """`reply`: what heartbeats are answered; `meanwhile`: what happens before one is."""

    def __init__(
        self,
        broker: MemoryBroker,
        bus: Bus,
        other: Bus,
        functions: App,
        path: str,
        slots: int,
        *,
        owns_process: bool,
        commands: bool,
    ) -> None:
        self.broker, self.bus = broker, bus
        self.asked: list[Confirm] = []
        self.spawned: list[Spawn] = []
        self.session, self._submission, self._lines = ids.uuid7(), ids.submission_id(), 0
        self.reply, self.beats = BeatReply([], 60.0), list[Beat]()
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self.stop = asyncio.Event()
        self.running: asyncio.Task[None]
        self.children, objects = Children(path), MemoryObjects()
        self.commands = Commands(objects) if commands else None
        self.agent = Agent(
            other,
            objects,
            functions,
            self.children,
            name="w",
            partitions=["default", "express"],
            slots=slots,
            owns_process=owns_process,
            commands=self.commands,
        )

    def work(self, function: str = "echo", payload: bytes = b"1", outputs: int = 1) -> Work:
        self._lines += 1
        made = [ids.result_id(self._submission, self._lines, n) for n in range(outputs)]
        return Work(ids.task_id(self._submission, self._lines), function, made, payload=msgspec.Raw(payload))

    async def send(self, *works: Work, partition: str = "default") -> None:
        await self.raw(msgspec.json.encode(TaskBatch(self.session, 1, list(works))), partition)

    async def raw(self, data: bytes, partition: str = "default") -> None:
        await self.bus.publish(subjects.task(partition, 9, self.session), data)

    async def control(self, event: str, *tasks: tuple[Work, int]) -> None:
        """With no task: of the whole session."""
        named = [(work.id, attempt) for work, attempt in tasks] or None
        await self.bus.publish_core(subjects.session_control(self.session), Control(event, named))

    async def runs(self, work: Work) -> None:
        """Waits until it runs."""
        await wait_until(
            lambda: (held := self.agent.held.get(work.id)) is not None and held.started_at is not None, every=SOON
        )

    async def waits(self, *works: Work) -> None:
        await wait_until(lambda: all(self.agent.held.get(work.id) for work in works), every=SOON)

    def queued(self) -> list[tuple[str, bytes]]:
        """Messages of tasks that are not acknowledged."""
        return self.broker.messages("TASKS")

    def batches(self, partition: str = "*") -> list[list[Report]]:
        named = "hr.report." if partition == "*" else subjects.report(partition)
        data = [data for subject, data in self.broker.published if subject.startswith(named)]
        return [msgspec.json.decode(each, type=ReportBatch).reports for each in data]

    def reports(self) -> list[Report]:
        return [report for batch in self.batches() for report in batch]

    async def ended(self, work: Work) -> Completed | Failed:
        def found() -> Completed | Failed | None:
            ends = [r for r in self.reports() if isinstance(r, Completed | Failed) and r.task == work.id]
            return ends[0] if ends else None

        report = await wait_until(found, every=SOON)
        assert report is not None
        return report


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with open_rig(app) as made:
        yield made


@asynccontextmanager
async def open_rig(
    functions: App, path: str = PATH, *, slots: int = 1, owns_process: bool = False, commands: bool = False
) -> AsyncIterator[Rig]:
    """`path`: where child processes find their functions. `commands`: it runs tasks of `exec`."""
    broker = MemoryBroker()
    bus = await broker.connect("scheduler")
    other = await broker.connect("worker", apply_topology=False)
    rig = Rig(broker, bus, other, functions, path, slots, owns_process=owns_process, commands=commands)

    async def confirm(ctx: Context, request: Confirm) -> Confirmed:
        rig.asked.append(request)
        return Confirmed([task for task, _ in request.tasks])

    async def spawn(ctx: Context, request: Spawn) -> Spawned:
        rig.spawned.append(request)
        return Spawned(request.number + 1, request.first + len(request.tasks))

    async def beat(message: Msg) -> None:
        rig.beats.append(msgspec.json.decode(message.data, type=Beat))
        if rig.meanwhile is not None:
            await rig.meanwhile()
        await bus.publish_core(message.reply, rig.reply)

    service = Service(bus, None, "scheduler", "1.0.0", "")
    service.on(TASK_CONFIRM, confirm)
    service.on(stand_in(TASK_SPAWN), spawn)
    await service.start()
    await bus.nc.subscribe("hr.beat.worker.*", cb=beat)
    for partition in ("default", "express"):
        await topology.ensure_consumer(bus, TASKS.name, worker_consumer(partition))
    rig.running = asyncio.create_task(rig.agent.run(rig.stop, 0.1))
    try:
        yield rig
    finally:
        rig.stop.set()
        await asyncio.wait_for(rig.running, 10)
        await rig.children.close()
        if rig.commands is not None:
            await rig.commands.close()
        await service.stop()
        await other.close()
        await bus.close()
