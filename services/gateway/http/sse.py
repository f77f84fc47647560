"""Server-sent events: the text of a frame, and where a client that comes back goes on.

An id is `<incarnation>-<sequence>`: the time, in nanoseconds, at which the stream was created, and the place in it. A stream
that was lost and made again starts at 1, so a client with an id of the old one is given all that the new one has.
Source: HTML Living Standard, section 9.2.
"""

import re

import msgspec

from shared.contracts.errors import Invalid

MEDIA_TYPE = "text/event-stream"
RETRY_MS = 1000
HEARTBEAT = 15.0
BEAT = b": beat\n\n"

_ID = re.compile(r"(\d{1,20})-(\d{1,20})")


class Place(msgspec.Struct, frozen=True):
    """A place in the event stream: everything up to `sequence` is known."""

    incarnation: int
    sequence: int


def parse_id(text: str) -> Place:
    """The place that a client names in Last-Event-ID."""
    found = _ID.fullmatch(text)
    if found is None:
        raise Invalid("not an id of this event stream: <incarnation>-<sequence> is expected", field="Last-Event-ID")
    return Place(int(found[1]), int(found[2]))


def hello(place: Place) -> bytes:
    """The first bytes: the subscription exists. The id lets a client that lost us before the first event resume too."""
    return b": connected\n" + block(f"{place.incarnation}-{place.sequence}", f"retry: {RETRY_MS}\n".encode())


def frame(incarnation: int, sequence: int, subject: str, data: bytes) -> bytes:
    """One event. `subject`: `hr.evt.<noun>.<event>.<id>`; the body is passed on as it is, on one line."""
    _, _, noun, event, _ = subject.split(".", 4)
    return named(f"{incarnation}-{sequence}", f"{noun}.{event}", data)


def block(at: str, fields: bytes = b"") -> bytes:
    """`at`: the id, if there is one. Without an event's fields it only moves the place where a client goes on."""
    return b"%b%b\n" % (f"id: {at}\n".encode() if at else b"", fields)


def named(at: str, event: str, data: bytes) -> bytes:
    """One event."""
    if b"\n" in data or b"\r" in data:  # only between JSON's tokens: a string cannot hold one
        data = data.replace(b"\r", b" ").replace(b"\n", b" ")
    return block(at, b"event: %b\ndata: %b\n" % (event.encode(), data))
