"""Operations: long work of all services, got, listed, waited for, cancelled."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from shared.client.http import Http
from shared.client.paging import items
from shared.client.paths import OPERATIONS
from shared.contracts.operations import Operation, OperationPage

WAIT = 20
"""Seconds that one request waits; then it is asked again."""


class Operations:
    """Operations, as the contracts have them (`shared/contracts/operations.py`)."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def get(self, operation: UUID | str) -> Operation:
        """How far it is; NotFoundError if there is none."""
        return await self._http.ask("GET", f"{OPERATIONS}/{operation}", Operation)

    def list(
        self, *, kind: str | None = None, target: str | None = None, active: bool = False
    ) -> AsyncIterator[Operation]:
        """Newest first. `kind`, `target`: only such, as `archive`, `datasets/<pid>`; `active`: only those that have not ended."""
        query: dict[str, Any] = {"kind": kind, "target": target, "active": "true" if active else None}
        return items(self._http, OPERATIONS, OperationPage, **query)

    async def follow(self, operation: UUID | str) -> AsyncIterator[Operation]:
        """The operation as it is now, then as it is after each wait of `WAIT` seconds, until it is done."""
        found = await self.get(operation)
        yield found
        while not found.done:
            found = await self._http.ask("GET", f"{OPERATIONS}/{operation}/wait", Operation, query={"timeout": WAIT})
            yield found

    async def cancel(self, operation: UUID | str) -> Operation:
        """ConflictError if it cannot be cancelled where it is."""
        return await self._http.ask("POST", f"{OPERATIONS}/{operation}/cancel", Operation)
