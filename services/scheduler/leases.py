"""Leases: what workers hold, and what becomes of it when they fall silent.

A worker sends one heartbeat for all it holds; the answer names what it must stop. Tasks known to be held (they run for
more than 100 ms, or were found with a worker after a restart) stand in `running`; when their worker has been silent for
`lease_seconds`, they are lost and tried again. A lease ages only while we are connected and no reports wait: an outage of
ours is not the workers' death. What a worker held without our knowing comes back by itself: the bus delivers it again.
"""

import asyncio
from typing import Any

import asyncpg
import msgspec
from nats.aio.msg import Msg

from services.scheduler import store
from services.scheduler.release import Release
from services.scheduler.turns import Turns
from shared.bus import topology
from shared.bus.client import Bus
from shared.contracts.topology import REPORTS
from shared.contracts.work import Beat, BeatReply, Failed
from shared.runtime.clock import Clock
from shared.runtime.log import log

Q = store.Q
_decode = msgspec.json.Decoder(Beat).decode


class Leases:
    def __init__(
        self,
        bus: Bus,
        pool: "asyncpg.Pool[Any]",
        turns: Turns,
        release: Release,
        clock: Clock,
        *,
        lease: float,
        every: float,
    ) -> None:
        self._bus, self._pool, self._turns, self._release, self._clock = bus, pool, turns, release, clock
        self._lease, self._every = lease, every
        self._fine_since: float | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await self._bus.nc.subscribe("hr.beat.worker.*", queue="scheduler", cb=self._on_beat)

    async def _on_beat(self, message: Msg) -> None:
        task = asyncio.create_task(self._beat(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _beat(self, message: Msg) -> None:
        try:
            beat = _decode(message.data)
        except msgspec.MsgspecError as error:
            log.warning("beat.malformed", subject=message.subject, error=str(error))
            return
        if (partition := self._turns.named(beat.partition)) is None:
            log.warning("beat.unknown_partition", worker=beat.worker, partition=beat.partition)
            return
        known = beat.worker in partition.workers
        partition.workers[beat.worker] = (beat, self._clock.monotonic())
        if not known:
            log.info("worker.seen", worker=beat.worker, partition=beat.partition, slots=beat.slots)
            await self._turns.wake()
        try:
            await self._pool.execute(
                Q["beat"], beat.worker, beat.partition, beat.slots, beat.functions, len(beat.holds)
            )
            held = dict(beat.holds)
            rows = await self._pool.fetch(Q["ended"], list(held)) if held else []
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
            log.warning("beat.not_stored", worker=beat.worker, error=repr(error))
            return  # no answer: the worker goes on as it does
        reply = BeatReply([row["id"] for row in rows], self._every)
        await self._bus.tell(message.reply, reply)

    async def run_once(self) -> int:
        """Takes back what silent workers held. Returns how many tasks."""
        now = self._clock.monotonic()
        if not self._bus.is_connected or await self._backlog() > 0:
            self._fine_since = None
            return 0
        if self._fine_since is None:
            self._fine_since = now
        for partition in self._turns.partitions():
            silent = [name for name, (_, at) in partition.workers.items() if now - at > self._lease]
            for name in silent:
                log.warning("worker.silent", worker=name, partition=partition.name)
                del partition.workers[name]
        if now - self._fine_since < self._lease:
            return 0
        live = {name for partition in self._turns.partitions() for name in partition.workers}
        lost: list[Failed] = []
        workers = {}
        for row in await self._pool.fetch(Q["running_workers"]):
            if row["worker"] in live:
                continue
            for held in await self._pool.fetch(Q["running_of"], row["worker"]):
                lost.append(Failed(held["task"], held["attempt"], "lost", f"worker {row['worker']} fell silent"))
                workers[held["task"]] = row["worker"]
        if lost:
            await self._release.fail(lost, workers)
            log.warning("tasks.lost", count=len(lost))
        await self._forget(live)
        return len(lost)

    async def _forget(self, live: set[str]) -> None:
        rows = await self._pool.fetch(Q["workers"])
        gone = [
            row["name"]
            for row in rows
            if row["name"] not in live and (self._clock.now() - row["beat_at"]).total_seconds() > 10 * self._lease
        ]
        if gone:
            await self._pool.execute(Q["forget_workers"], gone)

    async def _backlog(self) -> int:
        info = await topology.api(self._bus, f"CONSUMER.INFO.{REPORTS.name}.schedulers")
        return int(info.get("num_pending", 0))
