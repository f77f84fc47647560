"""One message of tasks, from its arrival until the bus has stored a report of each task in it."""

from collections.abc import Coroutine
from typing import Any

from nats.aio.msg import Msg

from shared.bus.pull import Pull
from shared.contracts.work import TaskBatch


class Delivery:
    """A message that was pulled and is not acknowledged yet.

    unreported    how many of its tasks the bus has stored no report of; at 0 the message is acknowledged
    redelivered   another worker may have had it before
    started       a task of it has begun to run
    received_at   when it came, by time.monotonic()
    trace         the traceparent header, or ""
    """

    __slots__ = ("_pull", "epoch", "message", "received_at", "redelivered", "session", "started", "trace", "unreported")

    def __init__(self, message: Msg, batch: TaskBatch, pull: Pull, now: float) -> None:
        self.message, self.session, self.epoch = message, batch.session, batch.epoch
        self._pull, self.received_at = pull, now
        self.trace: str = (message.headers or {}).get("traceparent", "")
        self.unreported = len(batch.tasks)
        self.started = self.redelivered = False

    def ack(self) -> Coroutine[Any, Any, None]:
        """Removes the message from the stream, when it is awaited."""
        return self._pull.ack(self.message)

    async def give_back(self, delay: float = 0.0) -> None:
        """Makes the bus deliver the message again, to any worker, after `delay` seconds."""
        await self._pull.nak(self.message, delay)

    async def extend(self) -> None:
        """Starts its ack wait anew: the message is still worked on."""
        await self._pull.working(self.message)
