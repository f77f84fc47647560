"""Where a reader is in the event stream, as text: what a client that comes back sends to go on there.

    <incarnation>-<sequence>            everything up to there is known
    <incarnation>-<sequence>~<token>    so much of the snapshot is known that began there

The incarnation is the time, in nanoseconds, at which the stream was created. A stream that was lost and made again starts at 1, so
a client with a place in the old one is given all that the new one has.
"""

import re

import msgspec

from shared.contracts.errors import Invalid

_PLACE = re.compile(r"(\d{1,20})-(\d{1,20})")
_WATCHED = re.compile(r"(\d{1,20})-(\d{1,20})(?:~([a-z0-9-]{1,40}))?")


class Place(msgspec.Struct, frozen=True):
    """A place in the event stream: everything up to `sequence` is known."""

    incarnation: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.incarnation}-{self.sequence}"


class WatchPlace(msgspec.Struct, frozen=True):
    """How far the reader of a watch is. `token`: where its snapshot goes on; empty: it has the whole."""

    place: Place
    token: str = ""

    def __str__(self) -> str:
        return f"{self.place}~{self.token}" if self.token else str(self.place)


def parse_place(text: str) -> Place:
    """The place that a client names in Last-Event-ID. Invalid if it is none."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise Invalid("not an id of this event stream: <incarnation>-<sequence> is expected", field="Last-Event-ID")
    return Place(int(found[1]), int(found[2]))


def parse_watch_place(text: str, field: str) -> WatchPlace:
    """The place that a watch gave. Invalid, naming `field`, if it gave none such."""
    found = _WATCHED.fullmatch(text)
    if found is None:
        raise Invalid("not a place that a watch gave", field=field)
    return WatchPlace(Place(int(found[1]), int(found[2])), found[3] or "")
