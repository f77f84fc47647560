"""What one attempt prints: collected, cut, and told of in reports, once a while and at its end."""

import asyncio
import codecs
import io
import threading
from collections.abc import Callable
from uuid import UUID

from shared.contracts.work import LOG_CHUNK, LOG_KEPT, Logged
from shared.runtime.plain import plain

EVERY = 0.2
"""Seconds in which at most one report is made of it. What ends sooner tells it together with its end."""

_LOCK = threading.RLock()
"""One for all: held for a moment, and only by who prints. Reentrant: a `__del__` that prints may run inside of it."""
_utf8 = codecs.getincrementaldecoder("utf-8")


class Printed:
    """`write` may be called from any thread, the rest from the loop's. Nothing happens before something is written."""

    __slots__ = (
        *("_attempt", "_decoder", "_dropped", "_ended", "_kept", "_loop", "_start", "_task", "_tell", "_timed"),
        "_waiting",
    )

    def __init__(self, task: UUID, attempt: int, tell: Callable[[Logged], None]) -> None:
        self._task, self._attempt, self._tell = task, attempt, tell
        self._loop = asyncio.get_running_loop()
        self._decoder: io.IncrementalNewlineDecoder | None = None
        self._waiting: list[str] = []
        self._start = self._kept = self._dropped = 0
        self._timed = self._ended = False

    def write(self, data: bytes) -> bool:
        """Takes what was printed. False if the attempt has ended: then it is nobody's."""
        with _LOCK:
            if self._ended:
                return False
            self._take(data)
            timed, self._timed = self._timed, True
        if not timed:
            self._loop.call_soon_threadsafe(self._loop.call_later, EVERY, self._now)
        return True

    def end(self, *, tell: bool = True) -> None:
        """Nothing is taken any more; what is left is told, or forgotten."""
        if self._ended or self._decoder is None:  # without the lock, as for most tasks there is nothing
            self._ended = True
            return
        with _LOCK:
            self._ended = True
            self._take(b"", final=True)
            if self._dropped:
                self._dropped += len(self._decoder.getstate()[0])  # a character that was cut
                self._waiting.append(f"\n… {self._dropped} bytes more were not kept\n")
            if not tell:
                self._waiting.clear()
        while self._waiting:
            self._report()

    def _take(self, data: bytes, *, final: bool = False) -> None:
        """As much as there is room for; from the first byte that is dropped on, all are."""
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

    def _now(self) -> None:
        if self._ended:
            return
        if self._waiting:
            self._report()
        with _LOCK:
            self._timed = bool(self._waiting)
        if self._timed:
            self._loop.call_later(EVERY, self._now)

    def _report(self) -> None:
        with _LOCK:
            text = "".join(self._waiting)
            piece = _head(text, LOG_CHUNK)
            self._waiting = [text[len(piece) :]] if len(piece) < len(text) else []
        start, self._start = self._start, self._start + len(piece)
        self._tell(Logged(self._task, self._attempt, start, piece))


def _head(text: str, limit: int) -> str:
    """The beginning of a text, of at most so many bytes of UTF-8."""
    return text[:limit].encode()[:limit].decode("utf-8", "ignore")
