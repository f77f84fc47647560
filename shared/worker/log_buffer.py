"""What one attempt prints: collected, cut to what is kept, and reported at intervals and at its end."""

import asyncio
import codecs
import io
import threading
from collections.abc import Callable
from uuid import UUID

from shared.contracts.work import LOG_CHUNK, LOG_KEPT, Logged
from shared.runtime.plain import plain

INTERVAL = 0.2
"""Seconds in which at most one report is made. A task that ends sooner reports its output together with its end."""

_LOCK = threading.RLock()
"""One for all: held for a moment, and only by who prints. Reentrant: a `__del__` that prints may run inside of it."""
_utf8 = codecs.getincrementaldecoder("utf-8")


class LogBuffer:
    """The output of one attempt. `write` may be called from any thread, the rest from the loop's. `report` gets each chunk."""

    __slots__ = (
        *("_attempt", "_decoder", "_dropped", "_ended", "_kept", "_loop", "_start", "_task", "_report", "_timer_set"),
        "_waiting",
    )

    def __init__(self, task: UUID, attempt: int, report: Callable[[Logged], None]) -> None:
        self._task, self._attempt, self._report = task, attempt, report
        self._loop = asyncio.get_running_loop()
        self._decoder: io.IncrementalNewlineDecoder | None = None
        self._waiting: list[str] = []
        self._start = self._kept = self._dropped = 0
        self._timer_set = self._ended = False

    def write(self, data: bytes) -> bool:
        """Takes bytes that were printed. Returns False if the attempt has ended: then they belong to no task."""
        with _LOCK:
            if self._ended:
                return False
            self._take(data)
            timer_set, self._timer_set = self._timer_set, True
        if not timer_set:
            self._loop.call_soon_threadsafe(self._loop.call_later, INTERVAL, self._on_interval)
        return True

    def end(self, *, report: bool = True) -> None:
        """Takes nothing any more; what is left is reported, or discarded if not `report`."""
        if self._ended or self._decoder is None:  # without the lock, as for most tasks there is nothing
            self._ended = True
            return
        with _LOCK:
            self._ended = True
            self._take(b"", final=True)
            if self._dropped:
                self._dropped += len(self._decoder.getstate()[0])  # a character that was cut
                self._waiting.append(f"\n… {self._dropped} bytes more were not kept\n")
            if not report:
                self._waiting.clear()
        while self._waiting:
            self._report_chunk()

    def _take(self, data: bytes, *, final: bool = False) -> None:
        """Keeps bytes while fewer than LOG_KEPT are kept; from the first byte that is dropped on, all are."""
        if self._decoder is None:
            self._decoder = io.IncrementalNewlineDecoder(_utf8("replace"), translate=True)
        room = 0 if self._dropped else LOG_KEPT - self._kept
        self._dropped += max(0, len(data) - room)
        text = plain(self._decoder.decode(data[:room], final)) if room else ""
        if not text:
            return
        size = len(text.encode())
        if size > room:  # what is no text, or a control character, has become three bytes instead of one
            self._dropped += size - room
            text, size = _head(text, room), room
        self._waiting.append(text)
        self._kept += size

    def _on_interval(self) -> None:
        if self._ended:
            return
        if self._waiting:
            self._report_chunk()
        with _LOCK:
            self._timer_set = bool(self._waiting)
        if self._timer_set:
            self._loop.call_later(INTERVAL, self._on_interval)

    def _report_chunk(self) -> None:
        with _LOCK:
            text = "".join(self._waiting)
            piece = _head(text, LOG_CHUNK)
            self._waiting = [text[len(piece) :]] if len(piece) < len(text) else []
        start, self._start = self._start, self._start + len(piece)
        self._report(Logged(self._task, self._attempt, start, piece))


def _head(text: str, limit: int) -> str:
    """The beginning of a text, of at most so many bytes of UTF-8."""
    return text[:limit].encode()[:limit].decode("utf-8", "ignore")
