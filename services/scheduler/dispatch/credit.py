"""Credit: how many more tasks each partition may have outstanding, who takes it, and who gives it back."""

from collections.abc import Mapping

from services.scheduler.dispatch.due import Due
from services.scheduler.dispatch.gossip import Gossip
from services.scheduler.dispatch.registry import Registry
from shared.service.unit import Unit


class Credit:
    """The credit of the partitions that are dispatched here."""

    def __init__(self, registry: Registry, due: Due, gossip: Gossip) -> None:
        self._registry, self._due, self._gossip = registry, due, gossip

    def columns(self) -> tuple[list[int], list[int]]:
        """Numbers of the partitions that have credit, and how much each has: two columns for a statement that chooses tasks.

        A partition with a `max` is not among them: two statements at once would count on the same credit. Its tasks wait for
        the dispatcher.
        """
        found = {p.number: credit for p in self._registry if p.max is None and (credit := p.credit) > 0}
        return list(found), list(found.values())

    def hold(self, unit: Unit, counts: Mapping[int, int]) -> bool:
        """Holds credit for so many tasks, by partition, until the unit is over. False, and none is held, if not all have it, or
        if tasks that came before wait in one of the partitions."""
        known = [(self._registry.get(number), count) for number, count in counts.items()]
        partitions = [(p, count) for p, count in known if p is not None and p.max is None]
        if len(partitions) < len(counts) or any(p.window_full or p.credit < count for p, count in partitions):
            return False
        for partition, count in partitions:
            partition.held += count

        async def give_up() -> None:
            for partition, count in partitions:
                partition.held -= count

        unit.after.append(give_up)
        unit.undone.append(give_up)
        return True

    async def give_back(self, counts: Mapping[int, int]) -> None:
        """Counts tasks, by partition, that are not outstanding any more. A message goes to the process that dispatches them, if that is another."""
        for number, count in counts.items():
            partition = self._registry.get(number)
            if partition is None or not partition.dispatched_here:
                await self._gossip.publish_ended(number, count)
                continue
            partition.record_left(count)
            if partition.window_full:
                self._due.add([number])
        if self._registry.limited:  # also when none has ended: only the dispatcher chooses what was released there
            self._due.add(self._registry.limited)
