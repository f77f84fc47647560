"""What tasks print: stored once, published to those who watch, read in pages."""

from collections.abc import Collection, Sequence
from uuid import UUID

import msgspec

from shared.bus.client import Bus
from shared.contracts import subjects
from shared.contracts.events import TaskLogged
from shared.contracts.work import LOG_CHUNK, LOG_KEPT, Logged
from shared.db.sql import Db, Row, load
from shared.runtime.plain import plain

Q = load(__file__, "logs.sql")
SLICE = 500
"""Pieces stored in one statement."""
ROOM = LOG_KEPT
"""Bytes of text in a reply, as JSON."""
PIECES = 1000
"""Pieces that a reply is made of, at most."""
_LATEST_START = LOG_KEPT + LOG_CHUNK
_ATTEMPTS = 1 << 15


async def keep(pool: Db, bus: Bus, logged: Sequence[Logged]) -> None:
    """Stores pieces and publishes those that are new. Pieces that no worker of ours would report are left out."""
    fit = [piece for piece in logged if 0 <= piece.start <= _LATEST_START and 0 <= piece.attempt < _ATTEMPTS]
    for first in range(0, len(fit), SLICE):
        part = fit[first : first + SLICE]
        added = await Q.add_pieces.fetch(
            pool,
            tasks=[piece.task for piece in part],
            attempts=[piece.attempt for piece in part],
            starts=[piece.start for piece in part],
            texts=[plain(piece.text[:LOG_CHUNK]) for piece in part],
        )
        await _publish(pool, bus, added)


async def _publish(pool: Db, bus: Bus, added: Sequence[Row]) -> None:
    if not added:
        return
    sessions = await sessions_of(pool, {row["task"] for row in added})
    for row in added:
        session = sessions[row["task"]]
        event = TaskLogged(session, row["task"], row["attempt"], row["start"], row["text"])
        await bus.send(subjects.event("task", "logged", session), event)


async def sessions_of(db: Db, tasks: Collection[UUID]) -> dict[UUID, UUID]:
    """The session of each of these tasks that exists."""
    return {row["id"]: row["session"] for row in await Q.sessions_of.fetch(db, tasks=list(tasks))}


async def pieces(db: Db, task: UUID, attempt: int, start: int) -> list[Row]:
    """What an attempt has printed from character `start` on, in order: start and text of at most `PIECES` pieces."""
    return await Q.pieces.fetch(db, task=task, attempt=attempt, start=start, most=PIECES)


def page(rows: Sequence[Row], start: int, *, ended: bool, room: int = ROOM) -> tuple[str, int, bool]:
    """The text from character `start` on, as much as fits into a reply; where it ends; and whether there is more.

    A piece that is missing may still come while the attempt runs: the text ends before it. Afterwards it is passed over.
    """
    parts: list[str] = []
    position = start
    for row in rows:
        first, text = row["start"], row["text"]
        if first + len(text) <= position:
            continue
        if first > position and not ended:
            return "".join(parts), position, False
        text = text[max(0, position - first) :]
        room -= len(msgspec.json.encode(text))
        if parts and room < 0:
            return "".join(parts), position, True
        parts.append(text)
        position = max(first, position) + len(text)
    return "".join(parts), position, len(rows) >= PIECES and position > start
