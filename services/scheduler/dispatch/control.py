"""A session's queue, and what workers have to do with the tasks of it that they hold."""

from uuid import UUID

from services.scheduler.dispatch import requeue
from services.scheduler.dispatch.credit import Credit
from services.scheduler.dispatch.gossip import Gossip
from services.scheduler.ports import LAST_EPOCH
from shared.bus import topology
from shared.bus.client import Bus
from shared.contracts import subjects
from shared.contracts.topology import TASKS
from shared.contracts.work import Control
from shared.service.unit import Unit


class WorkerControl:
    """`ports.Workers`."""

    def __init__(self, bus: Bus, credit: Credit, gossip: Gossip) -> None:
        self._bus, self._credit, self._gossip = bus, credit, gossip

    async def control(self, session: UUID, control: Control) -> None:
        """To all workers, by core NATS: one that is not connected does not get it."""
        await self._bus.publish_core(subjects.session_control(session), control)

    async def purge_queue(self, session: UUID) -> None:
        """Deletes the session's tasks from the queue, and leaves those that workers hold."""
        await topology.purge(self._bus, TASKS.name, subjects.tasks_of_session(session))

    async def empty_queue(self, session: UUID, event: str, epoch: int = LAST_EPOCH) -> None:
        """Purges the session's tasks from the queue, then publishes to the workers (`event`, `epoch`: see `Control`)."""
        await self.purge_queue(session)
        await self.control(session, Control(event, None, epoch))
        await self._gossip.wake()

    async def requeue(self, unit: Unit, session: UUID) -> None:
        """What was chosen of a session and has not begun waits for its turn again."""
        taken = await requeue.requeue_session(unit.connection, session)
        unit.after.append(lambda: self._credit.give_back(taken))
