"""What a site asks of the scheduler: a partition of its own, and compute sessions in it.

`grant`: the delegation that the gateway has given the site for the offer (`offers/grant.py`).
"""

import asyncio
from uuid import UUID

from shared.bus.client import Bus
from shared.contracts import compute as c
from shared.contracts.endpoints.compute import (
    SESSION_CLOSE,
    SESSION_CREATE,
    SESSION_GET,
)
from shared.contracts.endpoints.sites import SITE_ENTER, SITE_PARTITION
from shared.contracts.errors import Conflict, HeadraceError, NotFound
from shared.contracts.execution import ExecutionRequest
from shared.runtime.log import log
from shared.runtime.retry import Backoff, retry
from shared.service.ask import ask

_OVER = frozenset({"closed", "cancelled", "purged", "deleted"})


class ComputeSessions:
    """`ready` is set once the site's partition is there: before, nothing can run here."""

    def __init__(self, bus: Bus, site: str) -> None:
        self._bus, self._site = bus, site
        self.ready = asyncio.Event()

    async def make_partition(self) -> None:
        """Makes the site's partition; asks until the scheduler answers. A partition that exists stays as it is."""

        async def make() -> None:
            await ask(self._bus, SITE_ENTER, c.PartitionRef(self._site))

        def log_failure(error: BaseException, tries: int) -> None:
            log.info("partition.not_made", site=self._site, error=repr(error), tries=tries)

        await retry(make, on=(HeadraceError,), backoff=Backoff(first=0.1, ceiling=2), failed=log_failure)
        self.ready.set()

    async def functions(self, within: float) -> frozenset[str] | None:
        """Those that live workers of the site's partition have; None: the scheduler does not say within so many seconds."""
        try:
            found = await ask(self._bus, SITE_PARTITION, c.PartitionRef(self._site), timeout=within)
        except HeadraceError as error:
            log.info("partition.not_known", site=self._site, error=repr(error))
            return None
        return frozenset(found.functions)

    async def open(self, offer: UUID, grant: str, request: ExecutionRequest) -> UUID:
        """The compute session of an offer: the same one however often it is asked for."""
        options = c.Options(function=request.executable.function) if request.executable else c.Options()
        asked = c.SessionCreate([self._site], options, request.meta.name)
        made = await ask(self._bus, SESSION_CREATE, asked, grant=grant, key=f"offer:{offer}")
        return made.id

    async def close(self, session: UUID, grant: str) -> None:
        """Nothing new begins in it. Harmless when it is closed or gone."""
        try:
            await ask(self._bus, SESSION_CLOSE, c.SessionRef(session), grant=grant)
        except (Conflict, NotFound):
            return

    async def is_over(self, session: UUID, grant: str) -> bool:
        """Whether nothing new can begin in it."""
        try:
            found = await ask(self._bus, SESSION_GET, c.SessionGet(session), grant=grant)
        except NotFound:
            return True
        return found.status in _OVER

    async def is_quiet(self, session: UUID, grant: str) -> bool:
        """Whether nothing runs in it any more; reads all of its tasks."""
        try:
            found = await ask(self._bus, SESSION_GET, c.SessionGet(session, counts=True), grant=grant)
        except NotFound:
            return True
        return found.tasks is None or found.tasks.queued + found.tasks.running == 0
