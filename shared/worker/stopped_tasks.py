"""Tasks that were stopped or withdrawn not long ago, so that a copy that arrives late is not run."""

import time
from uuid import UUID

from shared.contracts.work import Control, Work

MOST_TASKS = 50_000
"""Tasks that are remembered."""
KEPT_SECONDS = 600.0
"""Seconds for which a task is remembered. A worker that gets a copy after that asks, or has to stop it by a heartbeat's reply."""
MOST_SESSIONS = 10_000
"""Sessions that are remembered."""
EVERY_EPOCH = 2**31
"""More than any epoch: a session that was cancelled has no later one."""


class StoppedTasks:
    """Remembers for a session the last epoch that may not run, and for a task the last attempt that may not run."""

    def __init__(self) -> None:
        self._epochs: dict[UUID, int] = {}
        self._attempts: dict[UUID, tuple[int, float]] = {}  # and until when; in that order

    def note(self, session: UUID, control: Control) -> None:
        """Takes in what the scheduler has published about a session."""
        if control.tasks is None:
            over = EVERY_EPOCH if control.event == "cancelled" else control.epoch
            self._epochs[session] = max(over, self._epochs.pop(session, 0))
            if len(self._epochs) > MOST_SESSIONS:
                del self._epochs[next(iter(self._epochs))]
        elif control.event in ("cancelled", "preempted"):
            for task, attempt in control.tasks:
                self._add(task, attempt)

    def forbids(self, session: UUID, epoch: int, work: Work) -> bool:
        """Whether this task, from a message of this epoch, was stopped or withdrawn."""
        if self._epochs and epoch <= self._epochs.get(session, 0):  # withdrawn while its message was on its way
            return True
        if not self._attempts:
            return False
        attempt, until = self._attempts.get(work.id, (-1, 0.0))
        return work.attempt <= attempt and time.monotonic() < until

    def _add(self, task: UUID, attempt: int) -> None:
        now = time.monotonic()
        before, _ = self._attempts.pop(task, (-1, 0.0))
        self._attempts[task] = max(before, attempt), now + KEPT_SECONDS
        while (first := next(iter(self._attempts))) != task:
            if len(self._attempts) <= MOST_TASKS and self._attempts[first][1] >= now:
                break
            del self._attempts[first]
