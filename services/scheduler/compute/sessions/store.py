"""Sessions in the database (store.sql): rows in, contracts out."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from services.scheduler.machine import MACHINES, SESSION
from shared.contracts import ids
from shared.contracts.compute import Counts, Options, Session, SessionCreate
from shared.contracts.errors import Conflict, NotFound
from shared.contracts.states import SessionStatus, TaskStatus, name_of
from shared.db.sql import Db, Query, Row, load
from shared.runtime.clock import rfc3339, rfc3339_or_none

Q = load(__file__, "store.sql", MACHINES)

_COUNTED = {
    TaskStatus.CREATING: "waiting",
    TaskStatus.PENDING: "waiting",
    TaskStatus.PAUSED: "waiting",
    TaskStatus.SUBMITTED: "queued",
    TaskStatus.DISPATCHED: "running",
    TaskStatus.PROCESSING: "running",
    TaskStatus.CANCELLING: "running",
    TaskStatus.COMPLETED: "completed",
    TaskStatus.ERROR: "failed",
    TaskStatus.TIMEOUT: "failed",
    TaskStatus.RETRIED: "failed",
    TaskStatus.CANCELLED: "cancelled",
}


async def create(db: Db, owner: str, partitions: Sequence[str], request: SessionCreate, id: UUID | None = None) -> Row:
    """A new session, RUNNING. `id` None: a new one."""
    return await Q.create.fetchrow(
        db,
        id=id or ids.uuid7(),
        name=request.name,
        owner=owner,
        partitions=list(partitions),
        options=msgspec.json.encode(request.options).decode(),
        ttl=request.ttl,
        close_when_done=request.close_when_done,
    )


async def find(db: Db, session: UUID) -> Row | None:
    """The session's row, or None."""
    row: Row | None = await Q.find.fetchrow(db, session=session)
    return row


async def get(db: Db, session: UUID) -> Row:
    """The session's row; NotFound if there is none."""
    return await _read(Q.find, db, session)


async def hold(db: Db, session: UUID) -> Row:
    """As `get`, and its state stays as it is until this transaction ends."""
    return await _read(Q.hold, db, session)


async def lock(db: Db, session: UUID) -> Row:
    """As `get`, and nobody else holds or changes it until this transaction ends."""
    return await _read(Q.lock, db, session)


def check_open(session: Row, refusal: str) -> None:
    """Conflict if a session is neither RUNNING nor PAUSED. `refusal`: what follows from it, such as "its results take no values"."""
    state = SessionStatus(session["status"])
    if state not in SESSION.sets["open"]:
        raise Conflict(f"session {session['id']} is {state.name}: {refusal}")


async def _read(query: Query, db: Db, session: UUID) -> Row:
    row = await query.fetchrow(db, session=session)
    if row is None:
        raise NotFound(f"there is no session {session}", field="session")
    return row


async def move(db: Db, session: UUID, verb: str, *, cleanup: bool) -> Row | None:
    """Takes a session where `verb` leads; None if that is not legal from its state. `cleanup`: what that entails is to be done."""
    sources, status = SESSION.sources(verb), int(SESSION.target(verb))
    row: Row | None = await Q.move.fetchrow(db, session=session, status=status, sources=sources, cleanup=cleanup)
    return row


async def reopen(db: Db, session: UUID) -> Row | None:
    """A session that closed by itself is RUNNING again; None if it is no such session."""
    row: Row | None = await Q.reopen.fetchrow(db, session=session)
    return row


async def stop_submissions(db: Db, session: UUID, *, client: bool, worker: bool) -> Row:
    """Clients, or workers, submit no more to it."""
    return await Q.stop_submissions.fetchrow(db, session=session, client=client, worker=worker)


async def count_tasks(db: Db, session: Row, unplaced: dict[str, int]) -> Counts:
    """A session's tasks by where they are; reads all of them. `unplaced`: as in Counts."""
    found: dict[str, int] = {}
    running = session["status"] == SessionStatus.RUNNING
    for row in await Q.count_tasks.fetch(db, session=session["id"], running=running):
        name = "queued" if row["chosen"] else _COUNTED[TaskStatus(row["status"])]
        found[name] = found.get(name, 0) + row["tasks"]
    return Counts(total=sum(found.values()), **found, unplaced=unplaced)


def session_of(row: Row, counts: Counts | None = None) -> Session:
    """The contract of a row."""
    return Session(
        row["id"],
        row["name"],
        name_of(SessionStatus(row["status"])),
        row["owner"],
        row["partitions"],
        msgspec.json.decode(row["options"], type=Options),
        row["client_submission"],
        row["worker_submission"],
        rfc3339(row["created_at"]),
        rfc3339_or_none(row["closed_at"]),
        row["version"],
        counts,
        rfc3339_or_none(row["cancelled_at"]),
        rfc3339_or_none(row["purged_at"]),
        rfc3339_or_none(row["expires_at"]),
        str(row["operation"] or ""),
        row["close_when_done"],
    )
