"""Which events a caller may see, of those of everybody."""

from uuid import UUID

import msgspec

from services.gateway.events.feed import Event
from services.gateway.http.request import Request
from shared.contracts.compute import SessionGet
from shared.contracts.endpoints.compute import SESSION_GET
from shared.contracts.errors import Forbidden, NotFound
from shared.service.decode import MALFORMED

_MOST_KNOWN = 10_000


class _Owned(msgspec.Struct):
    owner: str


class _Operation(msgspec.Struct):
    metadata: _Owned


_operation = msgspec.json.Decoder(_Operation).decode


class VisibleEvents:
    """The events of the caller's sessions, offers and operations. The scheduler is asked once for each session."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._known: dict[str, bool] = {}

    async def keep(self, taken: list[Event]) -> list[Event]:
        """Those of the events that the caller may see. Raises what asking raises: then nobody knows."""
        return [event for event in taken if await self._may(event)]

    async def _may(self, event: Event) -> bool:
        if event.noun in ("command", "chain"):
            return False  # not a session's: an operator's matter
        if event.noun == "operation":
            return self._operation(event.data)
        entity = event.entity
        if entity not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[entity] = await (self._offer(entity) if event.noun == "offer" else self._session(entity))
        return self._known[entity]

    def _operation(self, data: bytes) -> bool:
        try:
            return _operation(data).metadata.owner == self._request.context.user
        except MALFORMED:  # of nobody
            return False

    async def _offer(self, entity: str) -> bool:
        try:
            await self._request.edge.worksteps.offer(UUID(entity), self._request.context.user)
        except (NotFound, ValueError):
            return False
        return True

    async def _session(self, entity: str) -> bool:
        try:
            await self._request.ask(SESSION_GET, SessionGet(UUID(entity)), timeout=10)
        except (NotFound, Forbidden, ValueError):
            return False
        return True
