"""The text of server-sent events. Source: HTML Living Standard, section 9.2."""

from typing import Final

MEDIA_TYPE: Final = "text/event-stream"
RETRY_MS: Final = 1000
"""Milliseconds after which a client that lost us comes back."""
HEARTBEAT_SECONDS: Final = 15.0
"""Seconds without anything to say after which a heartbeat is sent."""
HEARTBEAT: Final = b": beat\n\n"


def hello(event_id: str) -> bytes:
    """The first bytes: the subscription exists. The id lets a client that lost us before the first event resume too."""
    return b": connected\n" + block(event_id, f"retry: {RETRY_MS}\n".encode())


def block(event_id: str, fields: bytes = b"") -> bytes:
    """Lines that belong together. `event_id`: where a client goes on that has them; empty: as before.

    Without an event's fields it only moves that place.
    """
    return b"%b%b\n" % (f"id: {event_id}\n".encode() if event_id else b"", fields)


def event(event_id: str, name: str, data: bytes) -> bytes:
    """One event; `data` is JSON, put on one line."""
    if b"\n" in data or b"\r" in data:  # only between JSON's tokens: a string cannot hold one
        data = data.replace(b"\r", b" ").replace(b"\n", b" ")
    return block(event_id, b"event: %b\ndata: %b\n" % (name.encode(), data))
