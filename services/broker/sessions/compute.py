"""The scheduler, as a site needs it: a partition of its own, and compute sessions in it."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from shared.bus.client import Bus
from shared.contracts import compute as c
from shared.contracts import headers as h
from shared.contracts import subjects
from shared.contracts.errors import AlreadyExists, Conflict, HeadraceError, NotFound
from shared.contracts.execution import ExecutionRequest
from shared.runtime.log import log
from shared.runtime.retry import Backoff, retry

T = TypeVar("T")
ADMIN = "admin"
_OVER = frozenset({"closed", "cancelled", "purged", "deleted"})


class ComputeSessions:
    """`ready` is set once the site's partition is there: before, nothing can run here."""

    def __init__(self, bus: Bus, site: str) -> None:
        self._bus, self._site = bus, site
        self.ready = asyncio.Event()

    async def make_partition(self) -> None:
        """Asks until the scheduler has it. Harmless when it is there, with whatever reserve an operator gave it."""

        async def make() -> None:
            with contextlib.suppress(AlreadyExists):
                await self._ask("partition.create", c.PartitionCreate(self._site), c.Partition, ADMIN)

        def tell(error: BaseException, tries: int) -> None:
            log.info("partition.not_made", site=self._site, error=repr(error), tries=tries)

        await retry(make, on=(HeadraceError,), backoff=Backoff(first=0.1, ceiling=2), failed=tell)
        self.ready.set()

    async def functions(self, within: float) -> frozenset[str] | None:
        """Those that live workers of the site's partition have; None: the scheduler does not say within so many seconds."""
        subject = subjects.rpc("scheduler", "partition", "get")
        try:
            asked = c.PartitionRef(self._site)
            found = await self._bus.request(subject, asked, c.Partition, timeout=within, headers={h.USER: ADMIN})
        except HeadraceError as error:
            log.info("partition.not_known", site=self._site, error=repr(error))
            return None
        return frozenset(found.functions)

    async def open(self, offer: UUID, owner: str, request: ExecutionRequest) -> UUID:
        """The compute session of an offer: the same one however often it is asked for."""
        options = c.Options(function=request.executable.function) if request.executable else c.Options()
        asked = c.SessionCreate([self._site], options, request.meta.name)
        key = {h.IDEMPOTENCY_KEY: f"offer:{offer}"}
        made = await self._ask("session.create", asked, c.Session, owner, key)
        return made.id

    async def close(self, session: UUID, owner: str) -> None:
        """Nothing new begins in it. Harmless when it is closed or gone."""
        try:
            await self._ask("session.close", c.SessionRef(session), c.Session, owner)
        except (Conflict, NotFound):
            return

    async def is_over(self, session: UUID, owner: str) -> bool:
        """Whether nothing new can begin in it."""
        try:
            found = await self._ask("session.get", c.SessionGet(session), c.Session, owner)
        except NotFound:
            return True
        return found.status in _OVER

    async def is_quiet(self, session: UUID, owner: str) -> bool:
        """Whether nothing runs in it any more; reads all of its tasks."""
        try:
            found = await self._ask("session.get", c.SessionGet(session, counts=True), c.Session, owner)
        except NotFound:
            return True
        return found.tasks is None or found.tasks.queued + found.tasks.running == 0

    async def _ask(
        self, action: str, message: Any, reply: type[T], user: str, headers: Mapping[str, str] | None = None
    ) -> T:
        noun, _, verb = action.partition(".")
        return await self._bus.request(
            subjects.rpc("scheduler", noun, verb), message, reply, headers={h.USER: user, **(headers or {})}
        )
