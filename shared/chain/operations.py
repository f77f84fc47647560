"""The chains of a service that are operations, shown to their owners: got, listed, waited for, cancelled."""

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Final
from uuid import UUID

from shared.chain import store
from shared.chain.chains import Chains
from shared.chain.operation import is_cancellable, operation_of, state_of
from shared.contracts.endpoints.operations import OPERATION_CANCEL, OPERATION_GET, OPERATION_LIST, OPERATION_WAIT
from shared.contracts.errors import Conflict, NotFound
from shared.contracts.operations import (
    Operation,
    OperationList,
    OperationPage,
    OperationRef,
    OperationWait,
    operation_name,
    operation_place,
)
from shared.runtime.admission import Admission
from shared.runtime.retry import Backoff
from shared.service.access import owned
from shared.service.context import Context
from shared.service.paging import fitting, place_of, token_of
from shared.service.service import Service
from shared.service.unit import Unit

PLACES: Final = 200
"""Requests that may wait in one process, apart from other requests."""
PLACES_OF_ONE: Final = 50
"""Requests of one user that may wait in one process."""
AT_ONCE: Final = 2 * PLACES
"""Requests to wait that are taken at a time: those for which there is no place are refused."""
_LOOKS: Final = Backoff(first=0.05, ceiling=1)
"""Between two looks at an operation that somebody waits for."""


class Operations:
    """Answers for the operations of one service; register it once."""

    def __init__(self, chains: Chains) -> None:
        self._chains, self._pool = chains, chains.units.pool
        self._admission = Admission("requests that wait for operations", most=PLACES, of_one=PLACES_OF_ONE)
        self._stopping = asyncio.Event()

    def register(self, service: Service) -> None:
        """Registers the handlers."""
        name = self._chains.service
        service.on(OPERATION_GET[name], self.get)
        service.on(OPERATION_LIST[name], self.list)
        service.on(OPERATION_WAIT[name], self.wait, seconds=40, at_once=AT_ONCE)
        service.on(OPERATION_CANCEL[name], self.cancel)

    def stop(self) -> None:
        """Everybody who waits is answered as things are: they ask the next process. To be called before the service stops."""
        self._stopping.set()

    async def get(self, ctx: Context, asked: OperationRef) -> Operation:
        """How far an operation of the asker's is."""
        return self._shown(_seen(ctx, await store.find(self._pool, asked.operation), asked.operation))

    async def list(self, ctx: Context, asked: OperationList) -> OperationPage:
        """A page of the asker's operations, newest first; of everybody's for the admin."""
        owner = None if ctx.is_admin else ctx.user
        before = place_of(asked, tuple[datetime, UUID])
        filters = (asked.kind, asked.target, asked.active)
        rows = await store.operations(self._pool, owner, *filters, before, asked.size + 1)
        items, more = fitting([self._shown(row) for row in rows], asked.size)
        return OperationPage(items, token_of(asked, operation_place(items[-1])) if more else "")

    async def wait(self, ctx: Context, asked: OperationWait) -> Operation:
        """NotFound also when another service goes on with it meanwhile."""
        async with self._admission.admit(ctx.user):
            return await self._wait(ctx, asked)

    async def _wait(self, ctx: Context, asked: OperationWait) -> Operation:
        loop, looks = asyncio.get_running_loop(), 0
        until = loop.time() + asked.timeout
        while True:
            found = await self.get(ctx, asked)
            left = until - loop.time()
            if found.done or left <= 0 or self._stopping.is_set():
                return found
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, _LOOKS.delay(looks))):
                    await self._stopping.wait()
            looks += 1

    async def cancel(self, unit: Unit, ctx: Context, asked: OperationRef) -> Operation:
        """Conflict if it has ended, or cannot be cancelled where it is. Harmless when it is cancelled, or being cancelled, already."""
        row = _seen(ctx, await store.lock(unit.connection, asked.operation), asked.operation)
        assert row.operation is not None
        state = state_of(row)
        if state not in ("cancelling", "cancelled"):
            if state != "running":
                raise Conflict(f"{operation_name(row.id)} is {state}: it cannot be cancelled", field="operation")
            if not is_cancellable(self._chains.registry.find(row.kind, row.version), row):
                why = f"a {row.operation.kind} cannot be cancelled while it is at {row.step_name}"
                raise Conflict(f"{operation_name(row.id)}: {why}", field="operation")
            await self._chains.cancel(unit, row.id)
            row = _seen(ctx, await store.lock(unit.connection, row.id), row.id)
        return self._shown(row)

    def _shown(self, row: store.Row) -> Operation:
        return operation_of(self._chains.registry.find(row.kind, row.version), row)


def _seen(ctx: Context, row: store.Row | None, operation: UUID) -> store.Row:
    """NotFound if there is no such operation, or the asker may not see it."""
    missing = NotFound(f"there is no operation {operation}", field="operation")
    if row is None or row.operation is None:
        raise missing
    owned(ctx, {"owner": row.operation.owner}, missing)
    return row
