"""Which attempts were stopped of late, so that a copy of one that comes late is not run."""

import time
from uuid import UUID

from shared.contracts.work import Control, Work

MOST = 50_000
"""Tasks and sessions that are remembered."""
KEPT = 600.0
"""Seconds for which one is. Who holds a copy beyond that asks, or is told to stop it."""
EVERY = 2**31
"""All attempts: of a session that was cancelled there will be none that may run."""


class Stopped:
    """By task, or by session where all of it was cancelled: the last attempt that may not run."""

    def __init__(self) -> None:
        self._last: dict[UUID, tuple[int, float]] = {}  # and until when; in that order

    def note(self, session: UUID, control: Control) -> None:
        if control.tasks is None and control.event == "cancelled":
            self._add(session, EVERY)
        for task, attempt in control.tasks or ():
            self._add(task, attempt)

    def forbids(self, session: UUID, work: Work) -> bool:
        if not self._last:
            return False
        now = time.monotonic()
        for id in (session, work.id):
            attempt, until = self._last.get(id, (-1, 0.0))
            if work.attempt <= attempt and now < until:
                return True
        return False

    def _add(self, id: UUID, attempt: int) -> None:
        now = time.monotonic()
        before, _ = self._last.pop(id, (-1, 0.0))
        self._last[id] = max(before, attempt), now + KEPT
        while (first := next(iter(self._last))) != id and (len(self._last) > MOST or self._last[first][1] < now):
            del self._last[first]
