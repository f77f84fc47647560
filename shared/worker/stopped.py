"""What was stopped or taken back of late, so that a copy of it that comes late is not run."""

import time
from uuid import UUID

from shared.contracts.work import Control, Work

MOST = 50_000
"""Tasks that are remembered."""
KEPT = 600.0
"""Seconds for which one is. Who gets a copy beyond that asks, or is told to stop it."""
SESSIONS = 10_000
"""Sessions that are remembered."""
ALL = 2**31
"""More than any epoch: a session that was cancelled has no later one."""


class Stopped:
    """Of a session: the last epoch that is over. Of a task: the last attempt that may not run."""

    def __init__(self) -> None:
        self._epochs: dict[UUID, int] = {}
        self._attempts: dict[UUID, tuple[int, float]] = {}  # and until when; in that order

    def note(self, session: UUID, control: Control) -> None:
        if control.tasks is None:
            over = ALL if control.event == "cancelled" else control.epoch
            self._epochs[session] = max(over, self._epochs.pop(session, 0))
            if len(self._epochs) > SESSIONS:
                del self._epochs[next(iter(self._epochs))]
        elif control.event in ("cancelled", "preempted"):
            for task, attempt in control.tasks:
                self._add(task, attempt)

    def forbids(self, session: UUID, epoch: int, work: Work) -> bool:
        if self._epochs and epoch <= self._epochs.get(session, 0):  # taken back from the queue while it was on its way
            return True
        if not self._attempts:
            return False
        attempt, until = self._attempts.get(work.id, (-1, 0.0))
        return work.attempt <= attempt and time.monotonic() < until

    def _add(self, task: UUID, attempt: int) -> None:
        now = time.monotonic()
        before, _ = self._attempts.pop(task, (-1, 0.0))
        self._attempts[task] = max(before, attempt), now + KEPT
        while (first := next(iter(self._attempts))) != task:
            if len(self._attempts) <= MOST and self._attempts[first][1] >= now:
                break
            del self._attempts[first]
