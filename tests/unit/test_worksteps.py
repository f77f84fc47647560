"""A page of worksteps ends where it would become too large, whatever size was asked for."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from services.gateway.execution.worksteps import Worksteps
from shared.contracts.execution import MOST_DATA, ExecutionRequest, SimpleData
from shared.contracts.ids import uuid7
from shared.contracts.paging import Page
from shared.service.paging import ROOM

COUNT = 45
LARGE = ExecutionRequest(data=[SimpleData("x" * 1000)] * MOST_DATA)


class Pool:
    """The table, as the query reads it: newest first."""

    def __init__(self) -> None:
        request, now = msgspec.json.encode(LARGE).decode(), datetime.now(UTC)
        ids = [uuid7(n) for n in range(COUNT)]
        self.rows = [{"id": id, "owner": "ann", "name": "", "request": request, "created_at": now} for id in ids][::-1]

    async def fetch(self, query: str, owner: str | None, before: UUID | None, limit: int) -> list[dict[str, Any]]:
        return [row for row in self.rows if before is None or row["id"] < before][:limit]


async def test_all_are_there_page_by_page() -> None:
    pool: Any = Pool()
    found: list[UUID] = []
    token, pages = "", 0
    while True:
        page = await Worksteps(pool).page("ann", Page(1000, token))
        assert len(msgspec.json.encode(page)) < ROOM + 100_000
        found += [one.id for one in page.items]
        pages += 1
        if not page.next:
            break
        token = page.next
    assert found == [row["id"] for row in pool.rows]
    assert pages > 3
