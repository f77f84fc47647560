"""A queue is something that can be rebuilt.

When this process begins to dispatch a partition, and when the storage of TASKS or REPORTS was lost, nobody knows what is
in the queue. So the workers are asked what they hold, that is written down as theirs, the rest is taken back from the
queue, and everything that was chosen but has not ended waits for its turn again, under a new epoch. A copy that somebody
holds all the same does no harm: a task ends once.
"""

import asyncio
import time
from typing import Any

import asyncpg

from services.scheduler import store
from services.scheduler.dispatch.partition import Partition
from services.scheduler.dispatch.turns import Turns
from shared.bus import topology
from shared.bus.client import Bus
from shared.contracts import subjects
from shared.contracts.topology import REPORTS, TASKS, worker_consumer
from shared.db.pool import AWAY
from shared.runtime.clock import Clock
from shared.runtime.log import log

Q = store.Q
CALM = 0.5
"""Seconds without a task that was chosen or ended after which those outstanding are counted anew."""
COUNTED = 100_000
"""Most tasks that are read for that, of all partitions."""
REST = 30
"""For so many times as long as a count took, a partition is not counted again: 5 to 10 s with as many tasks as that."""
QUIET = 2.0
"""Seconds without an ended task after which an outstanding one is looked for."""
LOCK_PATIENCE = 10.0
"""Seconds that a question about the locks may take."""
LOCK_LEASE = "5s"
"""For how long the database keeps the locks for a process that says nothing: one that is frozen, or cut off. It asks every second."""


class Recovery:
    def __init__(
        self,
        bus: Bus,
        pool: "asyncpg.Pool[Any]",
        turns: Turns,
        clock: Clock,
        *,
        database_url: str,
        wait: float,
    ) -> None:
        self._bus, self._pool, self._turns = bus, pool, turns
        self._clock = clock
        self._database_url, self._wait = database_url, wait
        self._lock: Any = None
        self._asking = asyncio.Lock()
        self._resting: dict[int, float] = {}  # by partition: until when it is not counted again
        self._seen: dict[int, tuple[float, int]] = {}  # by partition: what was counted last, and when it had last moved
        bus.on_connected(self._on_connected)

    async def run_once(self) -> int:
        """Takes up the partitions that nobody dispatches; rebuilds those that have come to a stop."""
        await self._turns.refresh()
        await self.keep_locks()
        mine = await self._taken_up()
        for partition in self._turns.partitions():
            await self.recount_sparingly(partition)
        stuck = [
            partition for partition in self._turns.partitions() if partition.ready and await self._stuck(partition)
        ]
        for partition in stuck:
            log.warning("partition.stuck", partition=partition.name, outstanding=partition.outstanding)
        if mine or stuck:
            await self.rebuild(mine + stuck)
        return len(mine) + len(stuck)

    async def close(self) -> None:
        if self._lock is not None:
            await self._lock.close()

    async def keep_locks(self) -> None:
        """The connection that holds the advisory locks, once a second. When it is lost they are no longer ours: begin anew."""
        async with self._asking:
            if self._lock is not None and not await self._answers():
                self._lock.terminate()
                self._lock = None
            if self._lock is None:
                self._turns.doubt()
                self._lock = await asyncpg.connect(
                    self._database_url,
                    command_timeout=LOCK_PATIENCE,
                    server_settings={"search_path": "scheduler", "idle_session_timeout": LOCK_LEASE},
                )

    async def _answers(self) -> bool:
        """Whether the connection is alive at both ends: one that is not may have lost its locks to another process."""
        try:
            return bool(await self._lock.fetchval("SELECT true"))
        except (*AWAY, asyncpg.PostgresError):
            return False

    async def _taken_up(self) -> list[Partition]:
        """Those that are ours from now on. All begin with the first, so that who has it gets all: reports go to who dispatches.

        Who has some tries the others too, whoever has the first: it may have been deleted and made again.
        """
        mine: list[Partition] = []
        dispatches = any(partition.ready for partition in self._turns.partitions())
        for partition in sorted(self._turns.partitions(), key=lambda partition: partition.number):
            if not partition.ready:
                if await self._own(partition):
                    mine.append(partition)
                elif not (mine or dispatches):
                    break
        return mine

    async def _own(self, partition: Partition) -> bool:
        """The advisory lock of a partition: one process dispatches it."""
        async with self._asking:
            return self._lock is not None and bool(await self._lock.fetchval(Q["dispatcher_lock"], partition.name))

    async def recount_sparingly(self, partition: Partition) -> None:
        """`recount`, unless the last one took long, and not long ago: with slow tasks, each pause between two would ask for it."""
        began = self._clock.monotonic()
        if began < self._resting.get(partition.number, began):
            return
        await self.recount(partition)
        ended = self._clock.monotonic()
        self._resting[partition.number] = ended + REST * (ended - began)

    async def recount(self, partition: Partition) -> None:
        """Sets right what is outstanding, in a quiet moment: a late report of a task that had been taken back counts twice.

        What is on its way between a commit and the count would be counted twice: so the second of two equal counts is believed.
        """
        moved = partition.moved
        if not partition.ready or moved == partition.recounted or time.monotonic() - moved < CALM:
            return
        found = await self._pool.fetchval(Q["recount"], partition.number, COUNTED)
        if found is not None and self._seen.get(partition.number) != (moved, found):
            self._seen[partition.number] = (moved, found)
            return
        if partition.moved != moved or not partition.ready or partition.promised:
            return
        partition.recounted = moved
        if found is not None and found != partition.outstanding:
            log.info("partition.recounted", partition=partition.name, was=partition.outstanding, now=found)
            partition.outstanding = found
            partition.rebuilt += 1
            await self._turns.wake([partition.number])

    async def _stuck(self, partition: Partition) -> bool:
        """Outstanding, yet neither queued, nor with a worker, nor reported: lost with an acknowledged tail of a stream."""
        if partition.outstanding == 0 or time.monotonic() - partition.moved < QUIET:
            return False
        if await self._pool.fetchval(Q["outstanding"], partition.number) >= partition.outstanding:
            return False
        partition.moved = time.monotonic()  # look again after another quiet while
        consumers = ((TASKS.name, worker_consumer(partition.name).name), (REPORTS.name, "schedulers"))
        for stream, consumer in consumers:
            info = await topology.api(self._bus, f"CONSUMER.INFO.{stream}.{consumer}")
            if "error" in info or info["num_pending"] or info["num_ack_pending"]:
                return "error" in info
        return True

    async def _on_connected(self, lost: frozenset[str]) -> None:
        if not lost & {TASKS.name, REPORTS.name}:
            return
        self._turns.doubt()  # `run_once` takes up those that are ours
        for partition in self._turns.partitions():
            await topology.ensure_consumer(self._bus, TASKS.name, worker_consumer(partition.name))

    async def rebuild(self, partitions: list[Partition]) -> None:
        """Makes what was chosen wait again, except what workers say that they hold."""
        for partition in partitions:
            partition.ready = False
        losses, asked = self._turns.doubts, self._clock.monotonic()
        await self._bus.publish_core(subjects.HEARTBEAT_REQUEST, b"{}")
        await asyncio.sleep(self._wait)  # the workers' answers
        for partition in partitions:
            await self._rewind(partition, asked)
        for partition in partitions:
            partition.ready = losses == self._turns.doubts
        await self._turns.wake()

    async def _rewind(self, partition: Partition, asked: float) -> None:
        """What a worker said before it was `asked` may have ended since, and its report may be lost."""
        await topology.ensure_consumer(self._bus, TASKS.name, worker_consumer(partition.name))
        purged = await topology.purge(self._bus, TASKS.name, subjects.tasks_of_partition(partition.name))
        holds = sorted(
            (task, attempt, name)
            for name, (beat, at) in partition.workers.items()
            if at >= asked
            for task, attempt in beat.holds
        )
        # Each statement is a transaction: others hold sessions, or tasks in the order of ids, when they ask for more of them.
        # Whoever is killed in between leaves the rest to who is next; nothing is dispatched before all of it is done.
        await self._pool.execute(Q["next_epoch"])
        if holds:
            await self._pool.execute(
                Q["hold_tasks"],
                [task for task, _, _ in holds],
                [attempt for _, attempt, _ in holds],
                [name for _, _, name in holds],
                partition.number,  # a worker may serve others as well, whose queues are as they were
            )
        for row in await self._pool.fetch(Q["active_submissions"], None):
            lo, hi = store.span(row["id"])
            await self._pool.execute(Q["rewind_released"], lo, hi, partition.number)
            await self._pool.execute(Q["rewind_lanes"], lo, hi, partition.number)
            await self._pool.execute(Q["leave_to_lanes"], lo, hi, partition.number, row["session"])
        partition.outstanding = await self._pool.fetchval(Q["outstanding"], partition.number)
        partition.rebuilt += 1
        log.info("partition.rebuilt", partition=partition.name, held=len(holds), purged=purged)
