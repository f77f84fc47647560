"""Waiting for results: until all of them have ended, or one.

Who waits is woken by the frames of the commits that end results, whichever scheduler made them; what counts is then read.
A frame that is lost (the bus was away) is made up for by reading again, ever more slowly.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from services.scheduler.machine import MACHINES
from shared.bus.client import Bus
from shared.contracts import subjects
from shared.contracts.compute import ResultWait, ResultWaited
from shared.contracts.endpoints.compute import RESULT_WAIT
from shared.contracts.errors import NotFound
from shared.contracts.events import Frame
from shared.contracts.states import ResultStatus, name_of
from shared.db.sql import Db, Row, load
from shared.runtime.admission import Admission
from shared.runtime.retry import Backoff
from shared.service.context import Context
from shared.service.service import Service

Q = load(__file__, "waits.sql", MACHINES)
PLACES = 1000
"""Requests that may wait in one process."""
PLACES_OF_ONE = 250
"""Requests of one user that may wait in one process."""
AT_ONCE = 2 * PLACES
"""Requests that are taken at a time: those for which there is no place are refused."""
LONGEST = 40
"""Seconds that such a request may take in all."""
AGAIN = Backoff(first=0.25, factor=2, ceiling=5)
"""Between two reads when no event comes."""

_decode = msgspec.json.Decoder(Frame).decode


class Waiter:
    """One request. `open`: the results that have not ended, as far as it knows."""

    def __init__(self, results: Sequence[UUID], *, any: bool) -> None:
        self.states: dict[UUID, int] = {}
        self.open = set(results)
        self.woken = asyncio.Event()
        self._any = any
        self._announced: set[UUID] = set()

    @property
    def done(self) -> bool:
        """Whether one has ended, if any would do, or all have."""
        return len(self.open) < len(self.states) if self._any else not self.open

    def begin_read(self) -> None:
        """To be called before the table is read: what is announced from now on may not be in what is read."""
        self._announced.clear()
        self.woken.clear()

    def end_read(self, rows: Iterable[Row]) -> None:
        """Takes what was read. A result whose session is gone altogether counts as deleted."""
        found = {row["id"]: row["status"] for row in rows}
        for name in self.open:
            self.states[name] = found.get(name, int(ResultStatus.DELETED))
        self.open = {name for name in self.open if self.states[name] == ResultStatus.CREATED}
        self.announce(self._announced)

    def announce(self, names: Iterable[UUID]) -> None:
        """An event says that these have ended. Wakes when that would be enough: a thousand ends are not a thousand reads."""
        self._announced = self._announced.union(names) & self.open
        if self._announced and (self._any or len(self._announced) == len(self.open)):
            self.woken.set()


class SessionEvents:
    """The events of one session, for all who wait in it."""

    def __init__(self) -> None:
        self.waiters: set[Waiter] = set()
        self.subscription: Subscription | None = None

    async def on_frame(self, message: Msg) -> None:
        """Announces the results that a frame lists as ended."""
        frame = _decode(message.data)
        ended = {*frame.results, *frame.aborted, *frame.deleted}
        if ended:
            for waiter in self.waiters:
                waiter.announce(ended & waiter.open)


class Waits:
    """Answers `result.wait`."""

    def __init__(self, bus: Bus, db: Db) -> None:
        self._bus, self._db = bus, db
        self._events: dict[UUID, SessionEvents] = {}
        self._stopping = False
        self._admission = Admission("requests that wait for results", most=PLACES, of_one=PLACES_OF_ONE)

    def register(self, service: Service) -> None:
        """Registers the handlers."""
        service.on(RESULT_WAIT, self.wait, seconds=LONGEST, at_once=AT_ONCE)

    @property
    def sessions(self) -> set[UUID]:
        """Those whose events are listened to, because somebody waits for results of theirs."""
        return set(self._events)

    def stop(self) -> None:
        """Everybody is answered as things are: they ask the next process."""
        self._stopping = True
        for events in self._events.values():
            for waiter in events.waiters:
                waiter.woken.set()

    async def wait(self, ctx: Context, request: ResultWait) -> ResultWaited:
        """Answers when the results have ended, or one of them if any will do; after the timeout with what is so then."""
        async with self._admission.admit(ctx.user):
            return await self._wait(ctx, request)

    async def _wait(self, ctx: Context, request: ResultWait) -> ResultWaited:
        rows = {row["id"]: row for row in await Q.find.fetch(self._db, results=request.results)}
        for place, name in enumerate(request.results):
            if name not in rows or (rows[name]["owner"] != ctx.user and not ctx.is_admin):
                raise NotFound(f"there is no result {name}", field=f"results[{place}]")
        waiter = Waiter(request.results, any=request.any)
        waiter.end_read(rows.values())
        if not waiter.done and request.timeout:
            async with self._listening(waiter, {rows[name]["session"] for name in waiter.open}):
                await self.until_done(waiter, request.timeout)
        states = {name: name_of(ResultStatus(waiter.states[name])) for name in request.results}
        return ResultWaited(waiter.done, states, [name for name in states if name in waiter.open])

    async def until_done(self, waiter: Waiter, patience: float) -> None:
        """Returns when the waiter is done, after `patience` seconds, or when this process stops."""
        loop, reads = asyncio.get_running_loop(), 0
        until = loop.time() + patience
        while not self._stopping:
            waiter.begin_read()
            waiter.end_read(await Q.states.fetch(self._db, results=list(waiter.open)))
            left = until - loop.time()
            if waiter.done or left <= 0:
                return
            try:
                async with asyncio.timeout(min(left, AGAIN.delay(reads))):
                    await waiter.woken.wait()
            except TimeoutError:
                reads += 1

    @asynccontextmanager
    async def _listening(self, waiter: Waiter, sessions: set[UUID]) -> AsyncIterator[None]:
        try:
            for session in sessions:
                if session in self._events:
                    self._events[session].waiters.add(waiter)
                    continue
                events = self._events[session] = SessionEvents()
                events.waiters.add(waiter)
                events.subscription = await self._bus.nc.subscribe(
                    subjects.event("task", "changed", session), cb=events.on_frame
                )
            yield
        finally:
            for session in sessions & self._events.keys():
                await self._leave(session, waiter)

    async def _leave(self, session: UUID, waiter: Waiter) -> None:
        events = self._events[session]
        events.waiters.discard(waiter)
        if not events.waiters:
            del self._events[session]
            if events.subscription is not None and not self._bus.nc.is_closed:
                await events.subscription.unsubscribe()
