"""The event stream as an iterator that comes back when the connection is lost, where it was."""

import time
from collections.abc import Iterable, Iterator
from threading import Event

import msgspec

from shared.client.cli.api import Api
from shared.client.cli.trouble import RefusedError, UnreachableError

SILENCE = 40.0
"""Seconds without even a heartbeat after which the connection counts as lost; heartbeats come every 15."""
GIVE_UP = 60.0
"""Seconds for which it is tried again."""

PAUSE = 0.5
"""Seconds before it comes back."""


class Told(msgspec.Struct, frozen=True):
    """One event; `event` is empty for a sign of life, the first of which says that the subscription exists."""

    id: str
    event: str = ""
    data: str = ""


def blocks(lines: Iterable[str]) -> Iterator[Told]:
    """The events of a text/event-stream."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name or ":"] = value.removeprefix(" ")
        elif fields:
            yield Told(fields.get("id", ""), fields.get("event", ""), fields.get("data", ""))
            fields = {}


def follow(
    api: Api, path: str, *, from_start: bool = False, stop: Event | None = None, **query: str | None
) -> Iterator[Told]:
    """Events of `/events`, or of a session's watch, without end, or until `stop`. UnreachableError when nobody has answered for `GIVE_UP` seconds."""
    last, lost, stop = "", 0.0, stop or Event()
    while not stop.is_set():
        headers = {"Last-Event-ID": last} if last else None
        start = "start" if from_start and not last else None
        try:
            with api.stream(path, headers=headers, patience=SILENCE, **query, **{"from": start}) as answer:
                for told in blocks(answer.iter_lines()):
                    last, lost = told.id or last, 0.0
                    yield told
        except UnreachableError:
            lost = lost or time.monotonic()
            if not last or time.monotonic() - lost > GIVE_UP:
                raise
        except RefusedError as error:
            if error.status != 503 or not last:
                raise
        stop.wait(PAUSE)
