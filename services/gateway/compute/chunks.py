"""Cuts newline-delimited JSON into chunks at line ends, without parsing: under 0.1 µs a line.

So many lines at most that one is stored while the next is read. A chunk goes out only when it is known that something
follows it, so that the last one can be marked as such. Lines are counted as they stand, from 0; blank ones at the very end
are no lines.
"""

from typing import Final

import msgspec

from shared.contracts.errors import Invalid, TooLarge
from shared.contracts.topology import MESSAGE_LIMIT

LIMIT: Final = MESSAGE_LIMIT
LINES: Final = 2_500
"""Most lines of a chunk: what the scheduler works on in one go, about 20 ms."""


class Chunk(msgspec.Struct, frozen=True):
    """Whole lines. `first`: the number of its first line in the body."""

    number: int
    first: int
    lines: int
    data: bytes


class Cutter:
    """Feed it bytes as they come; it hands back chunks of at most `limit` bytes and `lines` lines."""

    def __init__(self, limit: int = LIMIT, lines: int = LINES) -> None:
        self._limit, self._lines = limit, lines
        self._rest = bytearray()
        self._breaks = 0  # line ends in it
        self._number = self._line = 0

    def feed(self, data: bytes) -> list[Chunk]:
        """The chunks that are known not to be the last."""
        rest = self._rest
        rest += data
        self._breaks += data.count(b"\n")
        done = []
        while (end := self._end()) is not None:
            if end == 0:
                raise TooLarge(
                    f"line {self._line} is longer than {self._limit} bytes; put large payloads and long lists of inputs into results (payload_result, inputs_from)",
                    field=f"tasks[{self._line}]",
                )
            if rest[end:].isspace():  # perhaps the end of the body: what is left then is no line
                if len(rest) > 2 * self._limit:
                    raise Invalid("the body goes on with nothing but blank lines", field=f"tasks[{self._line}]")
                break
            done.append(self._take(end))
        return done

    def _end(self) -> int | None:
        """Behind the last line that has room in a chunk, 0 if there is none; None while all that is here may be the last one."""
        if self._breaks >= self._lines:
            head = bytes(self._rest[: self._limit])
            parts = head.split(b"\n", self._lines)
            if len(parts) > self._lines and (end := len(head) - len(parts[-1])) < len(self._rest):
                return end
        return self._rest.rfind(b"\n", 0, self._limit) + 1 if len(self._rest) > self._limit else None

    def finish(self) -> Chunk:
        """The last chunk; Invalid if there was nothing at all."""
        length = len(self._rest.rstrip())
        if length > self._limit:
            raise TooLarge(
                f"line {self._line} is longer than {self._limit} bytes; put large payloads and long lists of inputs into results (payload_result, inputs_from)",
                field=f"tasks[{self._line}]",
            )
        if length == 0:
            raise Invalid("the body has no line: one task each is expected", field="tasks")
        del self._rest[length:]
        return self._take(length)

    def _take(self, end: int) -> Chunk:
        data = bytes(self._rest[:end])
        del self._rest[:end]
        self._breaks -= data.count(b"\n")
        lines = data.count(b"\n") + (not data.endswith(b"\n"))
        chunk = Chunk(self._number, self._line, lines, data)
        self._number += 1
        self._line += lines
        return chunk
