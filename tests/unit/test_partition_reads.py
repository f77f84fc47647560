"""What every user may ask of partitions reads many rows: it has its places, as lists have."""

import asyncio
from typing import Any, cast

from services.scheduler.dispatch import partitions, unplaced
from services.scheduler.dispatch.handlers import Partitions
from services.scheduler.dispatch.partition import Partition
from services.scheduler.dispatch.registry import Registry
from services.scheduler.heavy_reads import PLACES_OF_ONE, HeavyReads
from shared.contracts.compute import PartitionRef
from shared.contracts.paging import Page
from shared.service.context import speaking_for

ANN = speaking_for("ann")


class Tables:
    """Each reading of what is set aside waits for the test. `most`: so many were under way at once."""

    def __init__(self) -> None:
        self.reading = self.most = 0
        self.go = asyncio.Event()

    async def fetch(self, query: str, *_: Any) -> list[Any]:
        if query == unplaced.Q.count_waiting.text:
            self.reading += 1
            self.most = max(self.most, self.reading)
            await self.go.wait()
            self.reading -= 1
        if query == partitions.Q.partitions.text:
            return [{"id": 1, "name": "p", "priority": 1, "reserve": 0, "max": None, "of_site": False}]
        return []


async def test_a_users_questions_about_partitions_read_a_few_at_a_time() -> None:
    tables, nothing = Tables(), cast(Any, None)
    registry = Registry(nothing, cast(Any, tables))
    registry.add(Partition(1, "p"))
    handlers: Any = Partitions(nothing, tables, registry, HeavyReads(tables))
    asked = [handlers.get(ANN, PartitionRef("p")) for _ in range(4)] + [handlers.list(ANN, Page()) for _ in range(4)]
    replies = asyncio.gather(*asked)
    while tables.reading < PLACES_OF_ONE:
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    tables.go.set()
    assert len(await replies) == 8
    assert tables.most == PLACES_OF_ONE
