"""What of a session's events a reader wants: those of some tasks or results, or of some kinds."""

from uuid import UUID

import msgspec

from shared.contracts.errors import Invalid
from shared.contracts.events import Frame
from shared.service.decode import MALFORMED

_frame = msgspec.json.Decoder(Frame).decode
_OF_RESULTS = frozenset({"results", "aborted", "deleted"})


class _OfTask(msgspec.Struct):
    task: UUID


_of_task = msgspec.json.Decoder(_OfTask).decode


class Wanted:
    """`tasks`, `results`: only of these; if either is named, the other counts as none. `events`: nouns, or `<noun>.<event>`."""

    def __init__(
        self, tasks: list[UUID] | None = None, results: list[UUID] | None = None, events: list[str] | None = None
    ) -> None:
        self.tasks, self.results = tasks, results
        self._ids = None if tasks is None and results is None else (frozenset(tasks or ()), frozenset(results or ()))
        for place, name in enumerate(events or ()):
            if not name or not all(word.isalpha() for word in name.split(".", 1)):
                raise Invalid("a noun, or <noun>.<event>, is expected", field=f"events[{place}]")
        self._events = None if events is None else frozenset(events)

    def keep(self, subject: str, data: bytes) -> bytes | None:
        """The event as the reader wants it; None if not at all."""
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
        """A frame with the wanted ids only."""
        assert self._ids is not None
        tasks, results = self._ids
        kept = {}
        for name in Frame.__struct_fields__:
            told = getattr(frame, name)
            if isinstance(told, list):
                wanted = results if name in _OF_RESULTS else tasks
                kept[name] = [one for one in told if one in wanted]
        if not any(kept.values()):
            return None
        return msgspec.json.encode(Frame(frame.session, **kept))
