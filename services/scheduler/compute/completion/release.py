"""What a statement released goes out: chosen tasks to the queue, events to the bus, and word of what has ended to dispatch."""

from collections.abc import Sequence
from uuid import UUID

from services.scheduler.compute.completion import store
from services.scheduler.compute.completion.batch import Batch
from services.scheduler.compute.completion.store import CHOSEN, ENDED, EVENT
from services.scheduler.compute.sessions.closing import Closing
from services.scheduler.ports import Dispatch
from shared.db.sql import Row
from shared.service.outbox import Relay
from shared.service.unit import Unit


class Release:
    """Tasks become ready because of results or submissions: here is what follows."""

    def __init__(self, dispatch: Dispatch, relay: Relay, closing: Closing) -> None:
        self._dispatch, self._relay, self._closing = dispatch, relay, closing

    async def results_completed(self, unit: Unit, results: Sequence[UUID]) -> None:
        """Somebody who is no task has completed these in this unit: releases who waits for them."""
        self.follow(unit, await store.count_down(unit.connection, results, self._dispatch.credits()))

    async def tasks_ready(self, unit: Unit, tasks: Sequence[UUID]) -> None:
        """These wait for nothing any more: gives them their turn, as far as there is credit."""
        self.follow(unit, await store.choose(unit.connection, tasks, self._dispatch.credits()))

    def follow(self, unit: Unit, rows: Sequence[Row]) -> None:
        """`after`, once the unit has committed. If it says that it has not, it may have all the same: see `Reports`."""
        unit.after.append(lambda: self.after(rows))
        if any(row["kind"] == CHOSEN for row in rows):
            unit.undone.append(self._doubt)

    async def after(self, rows: Sequence[Row], batch: Batch | None = None) -> None:
        """Publishes what was released, and notes what has ended. `batch`: what was reported."""
        chosen = [row for row in rows if row["kind"] == CHOSEN]
        if chosen:
            await self._dispatch.publish(chosen, batch.values() if batch else {})
        ended: dict[int, int] = {}
        for row in rows:
            if row["kind"] == ENDED:
                ended[row["partition"]] = ended.get(row["partition"], 0) + row["tasks"]
        await self._dispatch.count_ended(ended, batch.seconds(rows) if batch else ())
        events = [row for row in rows if row["kind"] == EVENT]
        for row in events:
            self._closing.touch(row["subject"].rpartition(".")[2])
        await self._relay.push((row["outbox"], row["subject"], row["body"], "") for row in events)

    async def _doubt(self) -> None:
        self._dispatch.suspend()
