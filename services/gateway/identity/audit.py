"""The audit log: entries wait in memory for a moment and are appended together, each with a hash that covers the one before."""

import asyncio
import hashlib
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec
from nats.aio.msg import Msg

from services.gateway.http.rates import Rates
from shared.bus import trace
from shared.bus.client import Bus
from shared.contracts import headers as h
from shared.contracts.audit import AuditEntry, AuditPage, AuditQuery, AuditVerified, AuditVerify
from shared.contracts.errors import BY_CODE, ErrorBody, Internal, Invalid, RateLimited, Unavailable
from shared.db.pool import translated
from shared.db.sql import Row, load
from shared.runtime.clock import Clock, rfc3339
from shared.runtime.log import log
from shared.runtime.loop import Loop
from shared.service.decode import MALFORMED

Q = load(__file__, "audit.sql")
EVERY: Final = 0.25
"""Seconds between two appends: what is lost at most if the process is killed."""
MOST_WAITING: Final = 50_000
"""Entries that wait while the database is away; then changes are refused, as they could not be written down."""
AT_ONCE: Final = 1000
"""Entries of one append."""
PAGE: Final = 10_000
"""Entries that are verified in one request."""
START: Final = bytes(32)
"""The hash before the first entry."""
_REFUSED: Final = frozenset({401, 403, 429})


class Entry(msgspec.Struct, frozen=True):
    """An entry before it has its place. Texts are cut to what the table is to hold of them."""

    at: datetime
    user: str
    via: str
    client: str
    action: str
    thing: str
    allowed: bool
    status: int
    trace: str


def hash_of(before: bytes, number: int, entry: Entry) -> bytes:
    """SHA-256 of the hash before and of the entry as JSON, in the order of its fields."""
    return hashlib.sha256(before + msgspec.json.encode([number, *msgspec.structs.astuple(entry)])).digest()


def chained(before: bytes, last: int, entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Rows of the table, behind the entry `last`."""
    rows = []
    for number, entry in enumerate(entries, last + 1):
        before = hash_of(before, number, entry)
        rows.append({"id": number, **msgspec.structs.asdict(entry), "hash": before})
    return rows


def entry_of(row: Mapping[str, Any]) -> Entry:
    """The entry that a row of the table holds."""
    fields = ("via", "client", "action", "thing", "allowed", "status", "trace")
    return Entry(row["at"], row["user_name"], *(row[name] for name in fields))


class Outcome(msgspec.Struct, frozen=True):
    """What the log needs of `CommandDone` and `CommandRejected`."""

    subject: str
    error: ErrorBody | None = None


class Audit:
    """The audit log of all gateways of a facility."""

    def __init__(self, pool: "asyncpg.Pool[Any]", clock: Clock) -> None:
        self._pool, self._clock = pool, clock
        self._waiting: deque[Entry] = deque()
        self._refusals = Rates("refusals", clock, per_second=1, burst=100)
        self._loop = Loop("audit", EVERY, self.append)
        self._task: asyncio.Task[None] | None = None

    async def start(self, bus: Bus) -> None:
        """Begins to append, and to take the outcomes of commands; of several gateways one takes each."""
        self._task = asyncio.create_task(self._loop.run())
        for outcome in ("done", "rejected"):
            await bus.nc.subscribe(f"hr.evt.command.{outcome}.*", queue="audit", cb=self._on_command)

    async def stop(self) -> None:
        """Appends what waits, if the database is there."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        try:
            while await self.append():
                pass
        except Exception as error:
            log.error("audit.lost", entries=len(self._waiting), error=repr(error))

    def check_room(self) -> None:
        """Unavailable if so many entries wait that a further change could not be written down."""
        if len(self._waiting) >= MOST_WAITING:
            raise Unavailable("what is done cannot be written into the audit log now; try again")

    def record(self, user: str, via: str, client: str, action: str, thing: str, status: int, traced: str) -> None:
        """Adds an entry, which is appended within `EVERY` seconds. Of many refusals of one user or address only some are kept."""
        if len(self._waiting) >= MOST_WAITING:
            return  # a refusal: changes are held up by `check_room`
        if status in _REFUSED:
            try:
                self._refusals.take(user or client)
            except RateLimited:
                return
        now = self._clock.now()
        self._waiting.append(
            Entry(now, user, via, client, action, _plain(thing), status not in _REFUSED, status, traced)
        )

    async def _on_command(self, message: Msg) -> None:
        try:
            found = msgspec.json.decode(message.data, type=Outcome)
            _, _, user, _, noun, verb = found.subject.split(".", 5)
        except MALFORMED:
            return
        status = 200 if found.error is None else BY_CODE.get(found.error.code, Internal).status
        traced = trace.trace_id(trace.accept((message.headers or {}).get(h.TRACE)))
        self.record(user, "command", "", f"{noun}.{verb}", "", status, traced)

    async def append(self) -> int:
        """Appends what waits, up to `AT_ONCE` entries. Returns how many."""
        entries = [self._waiting[n] for n in range(min(AT_ONCE, len(self._waiting)))]
        if not entries:
            return 0
        await translated(self._append(entries))
        for _ in entries:
            self._waiting.popleft()
        return len(entries)

    async def _append(self, entries: list[Entry]) -> None:
        async with self._pool.acquire() as db, db.transaction():
            await Q.lock.execute(db)
            last = await Q.last.fetchrow(db)
            await Q.add.executemany(
                db, chained(last["hash"], last["id"], entries) if last else chained(START, 0, entries)
            )

    async def page(self, asked: AuditQuery) -> AuditPage:
        """Entries, newest first; the token of the next page is the last id."""
        if asked.token and not asked.token.isdecimal():
            raise Invalid("not a token that a page of this list gave", field="token")
        rows = await translated(
            Q.page.fetch(
                self._pool,
                before=int(asked.token) if asked.token else None,
                user=asked.user,
                action=asked.action,
                thing=asked.thing,
                allowed=asked.allowed,
                since=asked.since,
                until=asked.until,
                size=asked.size + 1,
            )
        )
        items = [_shown(row) for row in rows[: asked.size]]
        return AuditPage(items, str(items[-1].id) if len(rows) > asked.size else "")

    async def verify(self, asked: AuditVerify) -> AuditVerified:
        """Follows the chain of hashes, one page of it."""
        rows = await translated(Q.behind.fetch(self._pool, after=asked.after, most=PAGE))
        before, last = bytes.fromhex(asked.hash) if asked.hash else START, asked.after
        for row in rows:
            if row["id"] != last + 1 or hash_of(before, row["id"], entry_of(row)) != row["hash"]:
                return AuditVerified(last - asked.after, last + 1, last, before.hex(), False)
            before, last = row["hash"], row["id"]
        return AuditVerified(len(rows), 0, last, before.hex(), len(rows) == PAGE)


def _plain(text: str) -> str:
    """What a column can hold, and a terminal can show."""
    return "".join(c if c.isprintable() else " " for c in text)[:1024]


def _shown(row: Row) -> AuditEntry:
    entry = entry_of(row)
    shown = msgspec.structs.asdict(entry) | {"id": row["id"], "at": rfc3339(entry.at), "hash": row["hash"].hex()}
    return AuditEntry(**shown)
