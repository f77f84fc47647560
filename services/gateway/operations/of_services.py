"""Operations, whichever service they are of: their ids do not say. Each service answers for its own.

A retrieve operation leaves the archiver when the retriever has it, so the services are asked in the order of SERVICES, one after
the other: who is asked later has it, if who was asked before has let it go.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

import msgspec

from shared.bus.client import Bus
from shared.contracts.endpoints.operations import OPERATION_CANCEL, OPERATION_GET, OPERATION_LIST, OPERATION_WAIT
from shared.contracts.errors import HeadraceError, NotFound
from shared.contracts.operations import (
    SERVICES,
    Operation,
    OperationList,
    OperationPage,
    OperationRef,
    OperationWait,
    operation_id,
    operation_place,
)
from shared.service.ask import ask
from shared.service.context import Context
from shared.service.paging import token_of

SLACK = 10
"""Seconds that an answer may take longer than the wait that it is an answer to."""


async def get(bus: Bus, context: Context, ref: OperationRef) -> Operation:
    """NotFound if no service has it."""
    return await _first(ref, lambda name: ask(bus, OPERATION_GET[name], ref, context))


async def wait(bus: Bus, context: Context, asked: OperationWait) -> Operation:
    """The operation when it has ended, or after `timeout` seconds as it is then."""
    end = time.monotonic() + asked.timeout

    async def of(name: str) -> Operation:
        left = msgspec.structs.replace(asked, timeout=max(0.0, end - time.monotonic()))
        return await ask(bus, OPERATION_WAIT[name], left, context, timeout=left.timeout + SLACK)

    return await _first(asked, of)


async def cancel(bus: Bus, context: Context, ref: OperationRef, key: str = "") -> Operation:
    """Conflict if it cannot be cancelled. `key`: the idempotency key."""
    return await _first(ref, lambda name: ask(bus, OPERATION_CANCEL[name], ref, context, key=key, timeout=30))


async def _first(ref: OperationRef, of: Callable[[str], Awaitable[Operation]]) -> Operation:
    """The answer of the first service that has it. An error if none has it, and one of them could not say so."""
    unknown: HeadraceError = NotFound(f"there is no operation {ref.operation}", field="operation")
    for name in SERVICES:
        try:
            return await of(name)
        except NotFound:
            continue
        except HeadraceError as error:
            if not error.retryable:
                raise
            unknown = error
    raise unknown


async def page(bus: Bus, context: Context, asked: OperationList) -> OperationPage:
    """A page of all services' operations, newest first; an error if one of them does not answer."""
    pages = await asyncio.gather(*(ask(bus, OPERATION_LIST[name], asked, context) for name in SERVICES))
    return merge(asked, pages)


def merge(asked: OperationList, pages: list[OperationPage]) -> OperationPage:
    """One page of several, each newest first. Of an operation that two services had, the later one's answer counts."""
    found = {operation_id(one): one for page in pages for one in page.items}
    # Behind the end of a page that goes on, the service may have more: they come with the next page.
    known_to = max((operation_place(page.items[-1]) for page in pages if page.next), default=("", UUID(int=0)))
    newest_first = sorted(found.values(), key=operation_place, reverse=True)
    items = [one for one in newest_first if operation_place(one) >= known_to]
    more = len(items) > asked.size or any(page.next for page in pages)
    items = items[: asked.size]
    return OperationPage(items, token_of(asked, operation_place(items[-1])) if more else "")
