"""Which of a session's events a reader wants: those of some tasks or results, or of some kinds."""

from uuid import UUID

import msgspec

from shared.contracts.errors import Invalid
from shared.contracts.events import Frame
from shared.service.decode import MALFORMED

_frame = msgspec.json.Decoder(Frame).decode
_OF_RESULTS = frozenset({"results", "aborted", "deleted"})
"""Lists of a frame that hold ids of results; the others hold ids of tasks."""


class _OfTask(msgspec.Struct):
    task: UUID


_of_task = msgspec.json.Decoder(_OfTask).decode


class EventFilter:
    """Which events pass.

    tasks, results   only events of these; if either is named, the other counts as none
    events           only these: a noun (`task`), or `<noun>.<event>`. Invalid if it is neither
    """

    def __init__(
        self, tasks: list[UUID] | None = None, results: list[UUID] | None = None, events: list[str] | None = None
    ) -> None:
        self.tasks, self.results = tasks, results
        self._ids = None if tasks is None and results is None else (frozenset(tasks or ()), frozenset(results or ()))
        for place, name in enumerate(events or ()):
            if not name or not all(word.isalpha() for word in name.split(".", 1)):
                raise Invalid("a noun, or <noun>.<event>, is expected", field=f"events[{place}]")
        self._events = None if events is None else frozenset(events)

    def apply(self, subject: str, data: bytes) -> bytes | None:
        """The event with the ids that pass only; None if nothing of it passes."""
        _, _, noun, name, _ = subject.split(".", 4)
        if self._events is not None and not {noun, f"{noun}.{name}"} & self._events:
            return None
        if self._ids is None or noun == "session":
            return data
        if noun != "task":
            return None
        try:
            if name == "changed":
                return self._cut(_frame(data))
            return data if _of_task(data).task in self._ids[0] else None
        except MALFORMED:  # of no task that anybody could name
            return None

    def _cut(self, frame: Frame) -> bytes | None:
        """A frame with the ids that pass; None if it has none of them."""
        assert self._ids is not None
        tasks, results = self._ids
        kept = {}
        for name in Frame.__struct_fields__:
            value = getattr(frame, name)
            if isinstance(value, list):
                passing = results if name in _OF_RESULTS else tasks
                kept[name] = [one for one in value if one in passing]
        if not any(kept.values()):
            return None
        return msgspec.json.encode(Frame(frame.session, **kept))
