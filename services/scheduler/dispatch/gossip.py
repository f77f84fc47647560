"""What schedulers publish for each other about partitions, by core publishes without an answer.

A lost message does no harm: a dispatcher looks at each of its partitions every half a second, counts come again every second, and
a task that ended without its dispatcher hearing of it is found by `recount`.
"""

from collections.abc import Iterable, Mapping

import msgspec
from nats.aio.msg import Msg

from services.scheduler.dispatch.due import Due
from services.scheduler.dispatch.registry import Registry
from shared.bus.client import Bus

ENDED = "hr.ctl.scheduler.ended"
"""`<ENDED>.<partition's number>`, to its dispatcher. The body is a decimal number: how many of its tasks have ended."""
COUNTS = "hr.ctl.scheduler.standing"
"""From dispatchers, once a second: `[[partition's number, outstanding, running], …]`."""
WOKEN = "hr.ctl.scheduler.woken"
"""To dispatchers: `[partition's number, …]` in which tasks may be ready."""

_numbers = msgspec.json.Decoder(list[int]).decode
_counts = msgspec.json.Decoder(list[tuple[int, int, int]]).decode


class Gossip:
    """The messages of one scheduler to the others, and what it makes of theirs."""

    def __init__(self, bus: Bus, registry: Registry, due: Due) -> None:
        self._bus, self._registry, self._due = bus, registry, due

    async def listen(self) -> None:
        """Subscribes. To be called once, before the first partition is dispatched."""
        await self._bus.nc.subscribe(f"{ENDED}.*", cb=self._on_ended)
        await self._bus.nc.subscribe(COUNTS, cb=self._on_counts)
        await self._bus.nc.subscribe(WOKEN, cb=self._on_woken)

    async def wake(self, numbers: Iterable[int] | None = None) -> None:
        """Tasks may be ready in these partitions (None: in any): their dispatcher looks, whichever process it is."""
        looked = [partition.number for partition in self._registry] if numbers is None else list(numbers)
        self._due.add(looked)
        found = [self._registry.get(number) for number in looked]
        if not all(partition.dispatched_here for partition in found if partition is not None):
            await self._bus.publish_core(WOKEN, looked)

    async def publish_ended(self, number: int, count: int) -> None:
        """Tasks of a partition that another process dispatches have ended."""
        await self._bus.publish_core(f"{ENDED}.{number}", b"%d" % count)

    async def publish_counts(self, running: Mapping[int, int]) -> None:
        """Publishes the counts of the partitions that are dispatched here. `running`: tasks known to run, by partition."""
        own = [partition for partition in self._registry if partition.dispatched_here]
        for partition in own:
            partition.reported_outstanding = partition.outstanding
            partition.reported_running = running.get(partition.number, 0)
        if own:
            await self._bus.publish_core(COUNTS, [(p.number, p.reported_outstanding, p.reported_running) for p in own])

    async def _on_counts(self, message: Msg) -> None:
        for number, outstanding, running in _counts(message.data):
            partition = self._registry.get(number)
            if partition is not None and not partition.dispatched_here:
                partition.reported_outstanding, partition.reported_running = outstanding, running

    async def _on_woken(self, message: Msg) -> None:
        self._due.add(_numbers(message.data))

    async def _on_ended(self, message: Msg) -> None:
        partition = self._registry.get(int(message.subject.rpartition(".")[2]))
        if partition is not None and partition.dispatched_here:
            partition.record_left(int(message.data))
            self._due.add([partition.number])  # tasks that were released there wait for their turn here
