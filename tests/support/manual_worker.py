"""A worker that the test moves by hand: it speaks the protocol, serves several partitions and does what it is told."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.contracts import subjects
from shared.contracts.topology import TASKS, worker_consumer
from shared.contracts.work import (
    Beat,
    BeatReply,
    Completed,
    Control,
    Output,
    ReportBatch,
    Started,
    TaskBatch,
    Work,
)
from tests.support.compute_rig import Rig
from tests.support.wait import LIMIT, wait_until


class ManualWorker:
    """`ranks`, `stopped`: what heartbeats were answered; `controls`: what was told of sessions, as it came."""

    def __init__(self, bus: Client, partitions: Sequence[str], slots: int) -> None:
        self.name, self._bus, self._partitions, self._slots = f"hand-{uuid4().hex[:8]}", bus, list(partitions), slots
        self.ranks: dict[str, int] = {}
        self.stopped: set[UUID] = set()
        self.controls: list[tuple[UUID, Control]] = []
        self._holds: dict[UUID, int] = {}
        self._waiting: dict[str, list[Work]] = {}

    async def beats(self) -> None:
        while True:
            beat = Beat(
                self.name,
                self._partitions[0],
                self._slots,
                ["task", "note"],
                list(self._holds.items()),
                self._partitions,
            )
            answer = await self._bus.request(subjects.beat(self.name), msgspec.json.encode(beat), timeout=LIMIT)
            received = msgspec.json.decode(answer.data, type=BeatReply)
            self.ranks, self.stopped = received.ranks, self.stopped | set(received.stop)
            await asyncio.sleep(0.05)

    async def hear(self, message: Msg) -> None:
        session = UUID(message.subject.rpartition(".")[2])
        self.controls.append((session, msgspec.json.decode(message.data, type=Control)))

    async def take(self, partition: str) -> Work:
        """The next task from a partition's queue; the test waits for it."""
        waiting = self._waiting.setdefault(partition, [])

        async def some() -> Work | None:
            if not waiting:
                await self._pull(partition, waiting)
            return waiting.pop(0) if waiting else None

        found = await wait_until(some, on_timeout=f"nothing is in the queue of {partition}")
        assert found is not None
        return found

    async def _pull(self, partition: str, waiting: list[Work]) -> None:
        inbox = self._bus.new_inbox()
        came = await self._bus.subscribe(inbox, max_msgs=1)
        ask = f"$JS.API.CONSUMER.MSG.NEXT.{TASKS.name}.{worker_consumer(partition).name}"
        await self._bus.publish(ask, b'{"batch":1,"no_wait":true}', reply=inbox)
        message = await came.next_msg(timeout=LIMIT)
        if message.reply.startswith("$JS.ACK"):
            waiting += msgspec.json.decode(message.data, type=TaskBatch).tasks
            await self._bus.publish(message.reply, b"+ACK")

    async def start(self, work: Work) -> None:
        """Its code runs, and has for 100 ms."""
        self._holds[work.id] = work.attempt
        await self._report(Started(work.id, work.attempt, self.name))

    async def complete(self, work: Work) -> None:
        self.drop(work)
        outputs = [Output(result, 2, b"42") for result in work.outputs]
        await self._report(Completed(work.id, work.attempt, outputs))

    def drop(self, work: Work) -> None:
        """It was stopped: heartbeats do not name it any more."""
        if self._holds.get(work.id) == work.attempt:
            del self._holds[work.id]

    async def _report(self, *reports: Any) -> None:
        batch = msgspec.json.encode(ReportBatch(self.name, list(reports)))
        await self._bus.request(subjects.report(self._partitions[0]), batch, timeout=LIMIT)


@asynccontextmanager
async def hand(rig: Rig, *partitions: str, slots: int) -> AsyncIterator[ManualWorker]:
    """Until the end of the block; its death is the scheduler's to find out."""
    made = ManualWorker(rig.bus.nc, partitions, slots)
    listening = await rig.bus.nc.subscribe("hr.ctl.session.*", cb=made.hear)
    beating = asyncio.create_task(made.beats())
    try:
        yield made
    finally:
        beating.cancel()
        await listening.unsubscribe()
