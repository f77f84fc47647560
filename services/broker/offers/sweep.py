"""The sweep of a site's offers: expires those whose time is over, makes the compute session of accepted ones that a killed process left
without, and ends those whose compute session was closed. The guards make repeats harmless."""

from uuid import UUID

from services.broker.offers import store
from services.broker.offers.grant import is_due, renewed
from services.broker.offers.transitions import Offers
from services.broker.sessions.compute import ComputeSessions
from shared.bus.client import Bus
from shared.contracts.errors import HeadraceError
from shared.contracts.execution import Phase
from shared.runtime.clock import Clock
from shared.runtime.log import log
from shared.service.unit import Units

PAGE = 100
"""Rows of one round; the next round continues after them."""
FIRST = UUID(int=0)


class Sweep:
    """Looks at the site's offers that hold something, a page at a time."""

    def __init__(
        self, bus: Bus, units: Units, offers: Offers, compute: ComputeSessions, clock: Clock, page: int = PAGE
    ) -> None:
        self._bus, self._units, self._offers, self._compute, self._clock = bus, units, offers, compute, clock
        self._pool = units.pool
        self._page, self._after = page, FIRST

    async def run_once(self) -> int:
        """Every row has its turn, whatever became of the one before; the first error is raised in the end."""
        done, errors = 0, []
        rows = await store.holding(self._pool, self._offers.site, self._after, self._page)
        self._after = rows[-1]["id"] if len(rows) == self._page else FIRST
        for row in rows:
            try:
                done += await self._look(row)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return done

    async def _look(self, row: store.Row) -> int:
        if store.phase_of(row) is not Phase.OFFERED and is_due(row["delegation_ends"], self._clock.now()):
            row = await store.set_delegation(self._pool, row["id"], await renewed(self._bus, row))
        match store.phase_of(row):
            case Phase.OFFERED:
                return await self._offers.expire(row["id"])
            case Phase.ACCEPTED:
                log.info("offer.resumed", offer=str(row["id"]), site=row["site"])
                await self._offers.start(row)
                return 1
            case Phase.AVAILABLE | Phase.RUNNING:
                over = await self._compute.is_over(row["session"], row["delegation"])
                return await self._move(row, "end") if over else 0
            case Phase.RELEASING:
                quiet = await self._compute.is_quiet(row["session"], row["delegation"])
                return await self._move(row, "complete") if quiet else 0
            case Phase.CANCELLED:
                return await self._let_go(row)
        return 0

    async def _let_go(self, row: store.Row) -> int:
        """What was cancelled holds its cores for as long as something runs on them.

        Where it was cancelled while its compute session was being made, the same key finds that session.
        """
        try:
            session = row["session"] or await self._compute.open(row["id"], row["delegation"], store.request_of(row))
        except HeadraceError as error:
            if error.retryable:
                raise
        else:
            await self._compute.close(session, row["delegation"])
            if not await self._compute.is_quiet(session, row["delegation"]):
                return 0
        await store.free_capacity(self._pool, row["id"])
        return 1

    async def _move(self, row: store.Row, verb: str) -> int:
        """Moves the offer, unless somebody else has since it was read."""
        async with self._units.begin() as unit:
            now = await store.lock(unit.connection, row["site"], row["id"])
            if now["phase"] != row["phase"]:
                return 0
            await self._offers.move(unit, now, verb)
        return 1
