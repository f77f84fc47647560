"""What a client may use before it has shown a token: bytes, header fields, seconds, connections.

A head is the request line and all header fields. A body may take as long as it likes while bytes of it come; what does not
move is ended, so that whoever stalls holds nothing for long.
"""

import resource
from typing import Final

import msgspec

from shared.contracts.errors import HeadraceError, Invalid, Unavailable

_RESERVE = 256
"""Files of the process that are no connections of clients: servers, logs, libraries."""
_MOST = 4096
_UNADMITTED = 128
ONCE: Final = frozenset(
    {
        b"host",
        b"authorization",
        b"content-type",
        b"cookie",
        b"idempotency-key",
        b"if-match",
        b"last-event-id",
        b"origin",
        b"range",
    }
)
"""Fields of which a request may have one: of two, a proxy before us and we might each believe another."""


class HeadTooLarge(HeadraceError):
    """The request's header fields are larger, or more, than allowed."""

    code, status = "head_too_large", 431


class TargetTooLong(HeadraceError):
    """The request's address is longer than allowed."""

    code, status = "target_too_long", 414


class RequestTimeout(HeadraceError):
    """The request did not come in time."""

    code, status = "request_timeout", 408


class TooManyConnections(Unavailable):
    """All places for connections are taken."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes, times in seconds.

    `head_bytes`, `head_fields`, `head_seconds`: of one request. `idle_seconds`: between two requests. `body_window`: in each
    such stretch at least `body_least` of a body have to come, unless we ourselves do not read. `write_window`: in each such
    stretch the client has to take at least `write_least` of what waits for it. `linger`: how long the rest of a body is
    read and dropped after its answer, so that the client can read the answer; `linger_bytes`: how much of it after a refusal.
    `connections`: at a time; `address_connections`: of one client's address; `unadmitted`: in a TLS
    handshake, or refused because there was no place.
    """

    head_bytes: int = 16 * 1024
    head_fields: int = 100
    head_seconds: float = 10
    idle_seconds: float = 75
    body_window: float = 30
    body_least: int = 4 * 1024
    write_window: float = 30
    write_least: int = 16 * 1024
    linger: float = 5
    linger_bytes: int = 1024 * 1024
    connections: int = _MOST
    address_connections: int = _MOST // 2
    unadmitted: int = _UNADMITTED

    def check_head(self, target: int, fields: int, size: int) -> None:
        """Raises if a head is over a limit. `target`: bytes of its address; `size`: bytes of the fields, `fields` of them."""
        if target > self.head_bytes // 2 and target + size > self.head_bytes:
            raise TargetTooLong(f"the address, with all of the header, may have {self.head_bytes} bytes")
        if target + size > self.head_bytes:
            raise HeadTooLarge(f"the request line and the header fields may have {self.head_bytes} bytes together")
        if fields > self.head_fields:
            raise HeadTooLarge(f"a request may have {self.head_fields} header fields")


def check_once(name: bytes, seen: set[bytes]) -> None:
    """Adds a field's name, in lower case, to those seen of a request. Invalid if it has been there, and may be there once."""
    if name in ONCE:
        if name in seen:
            raise Invalid("a request has this field once", field=name.decode("latin-1"))
        seen.add(name)


def for_this_process() -> Limits:
    """The limits, with as many connections as the process may open files for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < min(hard, 2 * _MOST):
        soft = min(hard, 2 * _MOST)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    most = max(16, min(_MOST, soft - _RESERVE - _UNADMITTED))
    return Limits(connections=most, address_connections=most // 2)
