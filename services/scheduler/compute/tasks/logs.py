"""What tasks print: kept once, told to those who watch, read in pages."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from services.scheduler import store
from shared.bus.client import Bus
from shared.contracts import subjects
from shared.contracts.events import TaskLogged
from shared.contracts.work import LOG_CHUNK, LOG_KEPT, Logged
from shared.runtime.plain import plain

Q = store.Q
SLICE = 500
"""Pieces stored in one statement."""
ROOM = LOG_KEPT
"""Bytes of text in a reply, as JSON."""
PIECES = 1000
"""Pieces that a reply is made of, at most."""
_LATEST_START = LOG_KEPT + LOG_CHUNK
_ATTEMPTS = 1 << 15


async def keep(pool: "asyncpg.Pool[Any]", bus: Bus, logged: Sequence[Logged]) -> None:
    """Stores what is new of it and tells of that. Pieces that no worker of ours would report are left out."""
    fit = [piece for piece in logged if 0 <= piece.start <= _LATEST_START and 0 <= piece.attempt < _ATTEMPTS]
    for first in range(0, len(fit), SLICE):
        part = fit[first : first + SLICE]
        added = await pool.fetch(
            Q["add_logs"],
            [piece.task for piece in part],
            [piece.attempt for piece in part],
            [piece.start for piece in part],
            [plain(piece.text[:LOG_CHUNK]) for piece in part],
        )
        await _tell(pool, bus, added)


async def _tell(pool: "asyncpg.Pool[Any]", bus: Bus, added: Sequence[store.Row]) -> None:
    if not added:
        return
    rows = await pool.fetch(Q["sessions_of_tasks"], list({row["task"] for row in added}))
    sessions: dict[UUID, UUID] = {row["id"]: row["session"] for row in rows}
    for row in added:
        session = sessions[row["task"]]
        told = TaskLogged(session, row["task"], row["attempt"], row["start"], row["text"])
        await bus.send(subjects.event("task", "logged", session), told)


def page(rows: Sequence[store.Row], start: int, *, ended: bool, room: int = ROOM) -> tuple[str, int, bool]:
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
