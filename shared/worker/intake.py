"""From messages of the bus to tasks that wait here, without copies, tasks that another worker has, and stopped ones."""

import time
from collections.abc import Callable
from uuid import UUID

import msgspec
from nats.aio.msg import Msg

from shared.bus.client import Bus
from shared.bus.pull import delivery
from shared.contracts.endpoints.work import TASK_CONFIRM
from shared.contracts.errors import HeadraceError
from shared.contracts.topology import TASKS
from shared.contracts.work import Confirm, TaskBatch, Work
from shared.runtime.log import log
from shared.service.ask import ask
from shared.service.middleware.poison import bury
from shared.worker.delivery import Delivery
from shared.worker.health import Health
from shared.worker.held_tasks import HeldTask, HeldTasks
from shared.worker.partition_queue import PartitionQueue
from shared.worker.stopped_tasks import StoppedTasks

_decode = msgspec.json.Decoder(TaskBatch).decode


class Intake:
    """Pulls messages and adds their tasks to `held`; calls `on_tasks` then. Pulls nothing while the worker can run nothing."""

    def __init__(
        self,
        bus: Bus,
        worker: str,
        held: HeldTasks,
        stopped: StoppedTasks,
        on_tasks: Callable[[], None],
        health: Health,
    ) -> None:
        self._bus, self._worker, self._held, self._stopped = bus, worker, held, stopped
        self._on_tasks, self._health = on_tasks, health

    async def run(self, queue: PartitionQueue, most: int) -> None:
        """Pulls from a partition while fewer than `most` of its tasks wait here. Returns when its pull is stopped."""
        while messages := await queue.pull.take(most):
            pulled_at = time.monotonic()
            for message in messages:  # each may take a while
                await self._accept(queue, message, stale=time.monotonic() - pulled_at > queue.fresh)
            await self._held.until_room(queue, most)
            await self._health.some_allowed.wait()

    async def _accept(self, queue: PartitionQueue, message: Msg, *, stale: bool) -> None:
        """`stale`: the message was pulled so long ago that another worker may have it by now."""
        try:
            batch = _decode(message.data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # no UTF-8, or nested too deep
            await bury(self._bus, queue.pull, message, TASKS.name, f"not a batch of tasks: {error}")
            return
        if (here := self._same(message, batch)) is not None:
            # Redelivered to us: an ack as of a copy would remove it before its reports are stored.
            here.message = message
            return
        came = Delivery(message, batch, queue.pull, time.monotonic())
        came.redelivered = stale or delivery(message)[0] > 1

        def is_stopped(work: Work) -> bool:
            return self._stopped.forbids(batch.session, batch.epoch, work)

        fresh = [work for work in batch.tasks if work not in self._held and not is_stopped(work)]
        if fresh and came.redelivered:
            allowed = await self._confirm([(work.id, work.attempt) for work in fresh])
            if allowed is None:
                await came.give_back(1.0)
                return
            # Meanwhile some may have been stopped.
            fresh = [work for work in fresh if work.id in allowed and not is_stopped(work)]
        came.unreported = len(fresh)
        if not fresh:  # a copy of what is done, or here already, or was stopped
            await came.ack()
        for work in fresh:
            self._held.add(HeldTask(work, came, queue))
        self._on_tasks()

    def _same(self, message: Msg, batch: TaskBatch) -> Delivery | None:
        """The delivery held here that is this very message, and is not acknowledged yet."""
        sequence = delivery(message)[1]
        held = (self._held.get(work.id) for work in batch.tasks if work in self._held)
        deliveries = (one.delivery for one in held if one is not None and one.delivery.unreported > 0)
        return next((one for one in deliveries if delivery(one.message)[1] == sequence), None)

    async def _confirm(self, tasks: list[tuple[UUID, int]]) -> set[UUID] | None:
        """Asks the scheduler which attempts of a redelivered message may run: their task ids; None if it does not answer."""
        try:
            return set((await ask(self._bus, TASK_CONFIRM, Confirm(self._worker, tasks))).run)
        except HeadraceError as error:
            log.warning("worker.not_confirmed", error=repr(error))
            return None
