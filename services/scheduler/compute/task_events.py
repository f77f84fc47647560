"""Events about tasks and results: frames. A frame lists what one commit has changed in one session."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from shared.contracts import subjects
from shared.contracts.events import Frame
from shared.db.sql import Row
from shared.service.unit import Unit

MOST = 8_000
"""Ids in a frame, so that it fits in a message."""


def emit_changes(unit: Unit, change: str, rows: Sequence[Row]) -> None:
    """Frames for rows with `id` and `session`. `change`: the frame's list, such as `failed` or `aborted`."""
    sessions: dict[UUID, list[UUID]] = {}
    for row in rows:
        sessions.setdefault(row["session"], []).append(row["id"])
    for session, ids in sessions.items():
        for start in range(0, len(ids), MOST):
            emit_frame(unit, session, **{change: ids[start : start + MOST]})


def emit_frame(unit: Unit, session: UUID, **changes: list[UUID]) -> None:
    """One frame; each list of ids may have at most `MOST`, all together."""
    frame: Any = msgspec.structs.replace(Frame(session), **changes)
    unit.emit(subjects.event("task", "changed", session), frame)


def by_partition(rows: Iterable[Row]) -> Counter[int]:
    """How many rows of each partition."""
    return Counter(row["partition"] for row in rows)
