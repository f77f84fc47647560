"""How many tasks of one submission have ended, counted from the events of its session."""

from uuid import UUID

import msgspec

from shared.client.events import Event
from shared.contracts.events import Frame
from shared.contracts.ids import line_of, submission_of

_decode = msgspec.json.Decoder(Frame).decode
_ENDS = ("completed", "failed", "cancelled")


class SubmissionProgress:
    """`total`: how many tasks the submission has, once that is known. A task counts once, however many events name it."""

    def __init__(self, submission: UUID, total: int | None = None) -> None:
        self._submission, self.total = submission, total
        self._ended: dict[str, set[int]] = {name: set() for name in _ENDS}

    def take(self, event: Event) -> bool:
        """Counts an event; returns whether it changed anything."""
        if event.name != "task.changed":
            return False
        frame, before = _decode(event.data), self.ended
        for name in _ENDS:
            lines = self._ended[name]
            lines.update(line_of(task) for task in getattr(frame, name) if submission_of(task) == self._submission)
        return self.ended != before

    def counts(self) -> dict[str, int]:
        """How many tasks have ended in each way."""
        return {name: len(self._ended[name]) for name in _ENDS}

    @property
    def ended(self) -> int:
        """How many tasks have ended."""
        return sum(self.counts().values())

    @property
    def done(self) -> bool:
        """Whether all tasks have ended."""
        return self.total is not None and self.ended >= self.total

    @property
    def all_completed(self) -> bool:
        """Whether all tasks have completed."""
        return self.counts()["completed"] == self.total
