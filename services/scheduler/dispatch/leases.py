"""Leases: what workers hold, and what becomes of it when they fall silent.

A worker sends one heartbeat for all it holds; the answer names what it must stop. Tasks known to be held (they run for
more than 100 ms, or were found with a worker after a restart) stand in `running`; when their worker has been silent for
`lease_seconds`, they are lost and tried again; those that had not begun there lose no attempt by it. A worker of which
nothing was heard here has as long, from the task's start: its first heartbeat may be lost, or have come before its partition
was known to this process. A task is lost too that a live worker's heartbeats leave out while nobody has reported its end: the report was lost with the bus's storage, or the
worker gave it back to a queue that was emptied meanwhile. A lease ages only while we are connected and no reports wait:
an outage of ours is not the workers' death. What a worker held without our knowing comes back by itself: the bus delivers
it again.
"""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from nats.aio.msg import Msg

from services.scheduler import store
from services.scheduler.dispatch.partition import by_partition
from services.scheduler.dispatch.preemption import ranks
from services.scheduler.dispatch.turns import Turns
from services.scheduler.ports import Attempts
from shared.bus import topology
from shared.bus.client import Bus
from shared.contracts import subjects
from shared.contracts.topology import REPORTS
from shared.contracts.work import MOST_HELD, Beat, BeatReply, Failed
from shared.db.pool import AWAY
from shared.runtime.clock import Clock
from shared.runtime.log import log
from shared.service.decode import MALFORMED

Q = store.Q
MISSED = 3
"""Heartbeats that may leave out a task that their worker is known to hold: its end may be on its way to us."""
LONGEST = 500
"""Characters kept of why a worker is unwell."""
BEATS = subjects.beat("*")
_decode = msgspec.json.Decoder(Beat).decode


class Leases:
    def __init__(
        self,
        bus: Bus,
        pool: "asyncpg.Pool[Any]",
        turns: Turns,
        attempts: Attempts,
        clock: Clock,
        *,
        lease: float,
        every: float,
    ) -> None:
        self._bus, self._pool, self._turns, self._attempts, self._clock = bus, pool, turns, attempts, clock
        self._lease, self._every = lease, every
        self._fine_since: float | None = None
        self._missing: dict[tuple[UUID, int], float] = {}  # since when its worker has left it out
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Every scheduler hears every beat, so that none takes a worker for dead; one of them answers."""
        await self._bus.nc.subscribe(BEATS, cb=self._on_heard)
        await self._bus.nc.subscribe(BEATS, queue="scheduler", cb=self._on_beat)

    async def _on_heard(self, message: Msg) -> None:
        try:
            beat = _decode(message.data)
        except MALFORMED as error:
            log.warning("beat.malformed", subject=message.subject, error=str(error))
            return
        serves, now = set(beat.serves), self._clock.monotonic()
        for partition in self._turns.partitions():
            known = beat.worker in partition.workers
            if partition.name not in serves:
                if known:  # it does not serve it any more
                    partition.forget(beat.worker)
                continue
            if partition.hear(beat, now):
                if not known:
                    log.info("worker.seen", worker=beat.worker, partition=partition.name, slots=beat.slots)
                if beat.unwell:
                    log.warning("worker.unwell", worker=beat.worker, partition=partition.name, why=beat.unwell)
                await self._turns.wake()
        for name in serves - self._turns.numbers().keys():
            log.warning("beat.unknown_partition", worker=beat.worker, partition=name)

    async def _on_beat(self, message: Msg) -> None:
        task = asyncio.create_task(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: Msg) -> None:
        if not subjects.is_reply(message.reply):
            return
        try:
            beat = _decode(message.data)
        except MALFORMED:
            return  # logged by `_on_heard`
        serves = [partition for name in beat.serves if (partition := self._turns.named(name)) is not None]
        if not serves:
            return
        try:
            await self._pool.execute(
                Q["beat"],
                beat.worker,
                beat.partition,
                beat.slots,
                beat.functions,
                len(beat.holds),
                beat.serves,
                beat.unwell[:LONGEST].replace("\x00", "\\x00"),
            )
            held = dict(beat.holds)
            rows = await self._pool.fetch(Q["ended"], list(held), list(held.values())) if held else []
        except (*AWAY, asyncpg.PostgresError) as error:
            log.warning("beat.not_stored", worker=beat.worker, error=repr(error))
            return  # no answer: the worker goes on as it does
        reply = BeatReply([row["id"] for row in rows], self._every, ranks(serves))
        await self._bus.publish_core(message.reply, reply)

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
                partition.forget(name)
        if now - self._fine_since < self._lease:
            return 0
        live = {name: told for partition in self._turns.partitions() for name, told in partition.workers.items()}
        lost: list[Failed] = []
        workers = {}
        missing: dict[tuple[UUID, int], float] = {}
        for row in await self._pool.fetch(Q["running_workers"]):
            worker = row["worker"]
            found = live.get(worker)
            holds = set(found[0].holds) if found is not None else set()
            for held in await self._pool.fetch(Q["running_of"], worker):
                key = held["task"], held["attempt"]
                if found is not None:
                    if key in holds or len(holds) >= MOST_HELD:
                        continue
                    since = missing[key] = self._missing.get(key, now)
                    if now - since <= MISSED * self._every or found[1] < since + self._every:
                        continue
                elif held["age"] < self._lease:
                    continue
                why = (
                    "fell silent" if found is None else "does not hold it any more, and has not said what became of it"
                )
                lost.append(Failed(*key, "lost", f"worker {worker} {why}"))
                workers[held["task"]] = worker
        self._missing = missing
        if lost:
            lost.sort(key=lambda one: one.task)  # rows are locked in the order of ids, everywhere
            await self._give_up(lost, workers)
        await self._forget(set(live))
        return len(lost)

    async def _give_up(self, lost: list[Failed], workers: dict[UUID, str]) -> None:
        keys = [one.task for one in lost], [one.attempt for one in lost]
        rows = await self._pool.fetch(Q["return_tasks"], *keys)
        if unbegun := [row["id"] for row in await self._pool.fetch(Q["unbegun"], *keys)]:
            await self._attempts.let_go(unbegun)  # their session has ended: what follows is their last word
        returned = {row["id"] for row in rows}
        if returned:
            log.info("tasks.returned", count=len(returned))
            await self._turns.ended(by_partition(rows))
            await self._turns.wake()
        if begun := [one for one in lost if one.task not in returned]:
            await self._attempts.fail(begun, workers)
            log.warning("tasks.lost", count=len(begun))

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
