"""What every user may ask of partitions reads many rows: it has its places, as lists have."""

import asyncio
from typing import Any

from services.scheduler import store
from services.scheduler.dispatch.handlers import Partitions
from services.scheduler.dispatch.partition import Partition
from services.scheduler.heavy_reads import PLACES_OF_ONE, HeavyReads
from shared.contracts.compute import PartitionRef
from shared.contracts.paging import Page
from shared.service.middleware.identity import of_request

ANN = of_request("hr.rpc.scheduler.partition.get", {"Hr-User": "ann"})


class Tables:
    """Each reading of what is set aside waits for the test. `most`: so many were under way at once."""

    def __init__(self) -> None:
        self.reading = self.most = 0
        self.go = asyncio.Event()

    async def fetch(self, query: str, *_: Any) -> list[Any]:
        if query == store.Q["unplaced"]:
            self.reading += 1
            self.most = max(self.most, self.reading)
            await self.go.wait()
            self.reading -= 1
        return []


class Turns:
    async def refresh(self) -> None: ...

    def named(self, name: str) -> Partition:
        return Partition(1, name)

    def partitions(self) -> list[Partition]:
        return [Partition(1, "p")]


async def test_a_users_questions_about_partitions_read_a_few_at_a_time() -> None:
    tables, turns = Tables(), Turns()
    handlers: Any = Partitions(None, tables, turns, HeavyReads(tables))  # type: ignore[arg-type]
    asked = [handlers.get(ANN, PartitionRef("p")) for _ in range(4)] + [handlers.list(ANN, Page()) for _ in range(4)]
    replies = asyncio.gather(*asked)
    while tables.reading < PLACES_OF_ONE:
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    tables.go.set()
    assert len(await replies) == 8
    assert tables.most == PLACES_OF_ONE
