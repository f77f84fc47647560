"""How the tasks of a session stand, from the events of its watch. It takes a byte a task, however many there are."""

import json
from uuid import UUID

from shared.client.events import Event
from shared.contracts.ids import line_of, submission_of

COUNTS = ("waiting", "queued", "running", "completed", "failed", "cancelled")
ENDED = ("completed", "failed", "cancelled")
LIVE = ("running", "paused")
_CODE = {name: number for number, name in enumerate(COUNTS, start=1)}
_BY_STATUS = {
    "creating": "waiting", "pending": "waiting", "paused": "waiting", "submitted": "queued",
    "dispatched": "running", "processing": "running", "cancelling": "running",
    "completed": "completed", "error": "failed", "timeout": "failed", "retried": "failed", "cancelled": "cancelled",
}  # fmt: skip
_BY_EVENT = {
    "started": "running", "cancelling": "running", "retried": "waiting",
    "completed": "completed", "failed": "failed", "cancelled": "cancelled",
}  # fmt: skip


class WatchedSession:
    """`whole`: the snapshot is complete. `session`: as it was at its beginning, its `status` as it is.

    lines   by submission, a byte for each task with its state
    """

    def __init__(self) -> None:
        self._forget({})

    def _forget(self, session: dict[str, str]) -> None:
        self.session, self.whole, self._version = session, False, 0
        self.lines: dict[UUID, bytearray] = {}
        self._count = [0] * (len(COUNTS) + 1)

    def take(self, event: Event) -> None:
        """Applies one event of the watch."""
        match event.name:
            case "snapshot.begin":
                self._forget(json.loads(event.data))
                self._version = json.loads(event.data).get("version", 0)
            case "snapshot.states":
                for status, ids in json.loads(event.data).get("tasks", {}).items():
                    self._set(ids, _BY_STATUS[status])
            case "snapshot.end":
                self.whole = True
            case "submission.visible":
                data = json.loads(event.data)
                lines = self._of(UUID(data["submission"]), data["tasks"])
                unknown = lines.count(0)
                self._count[0] -= unknown
                self._count[_CODE["waiting"]] += unknown
                lines[:] = lines.replace(b"\0", bytes([_CODE["waiting"]]))
            case "task.changed":
                data = json.loads(event.data)
                for name, count in _BY_EVENT.items():
                    self._set(data.get(name, ()), count)
            case name if name.startswith("session."):
                data = json.loads(event.data)
                if data["version"] >= self._version:
                    self._version, self.session["status"] = data["version"], data["status"]

    def _of(self, submission: UUID, tasks: int) -> bytearray:
        lines = self.lines.setdefault(submission, bytearray())
        if (more := tasks - len(lines)) > 0:
            lines += bytes(more)
            self._count[0] += more
        return lines

    def _set(self, ids: list[str], name: str) -> None:
        code = _CODE[name]
        for text in ids:
            task = UUID(text)
            line = line_of(task)
            lines = self._of(submission_of(task), line + 1)
            self._count[lines[line]] -= 1
            self._count[code] += 1
            lines[line] = code

    def counts(self) -> dict[str, int]:
        """Tasks by where they stand, and `total`."""
        found = dict(zip(COUNTS, self._count[1:], strict=True))
        return {"total": sum(found.values()), **found}

    @property
    def over(self) -> bool:
        """Nothing more will change: it takes no work, and what it had has ended, or is gone."""
        status = self.session.get("status")
        if not self.whole or status in LIVE:
            return False
        counts = self.counts()
        return status in ("purged", "deleted") or counts["total"] == sum(counts[name] for name in ENDED)
