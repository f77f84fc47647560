"""From messages of the bus to tasks that wait here: copies, redeliveries and what was stopped meanwhile are told apart."""

import time
from collections.abc import Callable
from uuid import UUID

import msgspec
from nats.aio.msg import Msg

from shared.bus.client import Bus
from shared.bus.pull import delivery
from shared.contracts import subjects
from shared.contracts.errors import HeadraceError
from shared.contracts.topology import TASKS
from shared.contracts.work import Confirm, Confirmed, TaskBatch, Work
from shared.runtime.log import log
from shared.service.middleware.poison import bury
from shared.worker.health import Health
from shared.worker.holding import Held, Holding, Parcel
from shared.worker.queues import Queue
from shared.worker.stopped import Stopped

_decode = msgspec.json.Decoder(TaskBatch).decode


class Taking:
    """The taking side of a worker. `begin` is called when tasks have come. Nothing is taken while nothing can be run."""

    def __init__(
        self,
        bus: Bus,
        worker: str,
        holding: Holding,
        stopped: Stopped,
        begin: Callable[[], None],
        health: Health,
    ) -> None:
        self._bus, self._worker, self._holding, self._stopped = bus, worker, holding, stopped
        self._begin, self._health = begin, health

    async def run(self, queue: Queue, most: int) -> None:
        """Takes from a queue, as long as fewer than `most` of its tasks wait here, until its pull is stopped."""
        while messages := await queue.pull.take(most):
            taken = time.monotonic()
            for message in messages:  # each may take a while
                await self._accept(queue, message, again=time.monotonic() - taken > queue.fresh)
            await self._holding.room(queue, most)
            await self._health.some_allowed.wait()

    async def _accept(self, queue: Queue, message: Msg, *, again: bool) -> None:
        """`again`: it may be with somebody else by now, as one that was delivered before."""
        try:
            batch = _decode(message.data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # no UTF-8, or nested too deep
            await bury(self._bus, queue.pull, message, TASKS.name, f"not a batch of tasks: {error}")
            return
        if (here := self._same(message, batch)) is not None:
            here.message = (
                message  # redelivered to us: an ack as of a copy would remove it before its reports are stored
            )
            return
        parcel = Parcel(message, batch, queue, time.monotonic())
        parcel.again = again or delivery(message)[0] > 1

        def over(work: Work) -> bool:
            return self._stopped.forbids(batch.session, batch.epoch, work)

        fresh = [work for work in batch.tasks if work not in self._holding and not over(work)]
        if fresh and parcel.again:
            allowed = await self._confirm([(work.id, work.attempt) for work in fresh])
            if allowed is None:
                await queue.pull.nak(message, 1.0)
                return
            fresh = [
                work for work in fresh if work.id in allowed and not over(work)
            ]  # meanwhile it may have been stopped
        parcel.untold = len(fresh)
        if not fresh:  # a copy of what is done, or here already, or was stopped
            await queue.pull.ack(message)
        for work in fresh:
            self._holding.add(Held(work, parcel))
        self._begin()

    def _same(self, message: Msg, batch: TaskBatch) -> Parcel | None:
        """The parcel held here that is this very message, and is not yet acknowledged."""
        sequence = delivery(message)[1]
        held = (self._holding.get(work.id) for work in batch.tasks if work in self._holding)
        parcels = (one.parcel for one in held if one is not None and one.parcel.untold > 0)
        return next((parcel for parcel in parcels if delivery(parcel.message)[1] == sequence), None)

    async def _confirm(self, tasks: list[tuple[UUID, int]]) -> set[UUID] | None:
        """Those that may run of a message that was delivered before; None if nobody can say now."""
        try:
            subject = subjects.rpc("scheduler", "task", "confirm")
            return set((await self._bus.request(subject, Confirm(self._worker, tasks), Confirmed)).run)
        except HeadraceError as error:
            log.warning("worker.not_confirmed", error=repr(error))
            return None
