"""Server-sent events as an iterator that goes on where it was when the connection is lost."""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator
from typing import Final

import msgspec

from shared.client.errors import RefusedError, UnreachableError
from shared.client.http import Http

SILENCE: Final = 40.0
"""Seconds without even a heartbeat after which the connection counts as lost; heartbeats come every 15."""
PAUSE = 0.5
"""Seconds before it is opened again."""


class Event(msgspec.Struct, frozen=True):
    """One event: `id` is its place in the stream, `name` what happened (`task.changed`), `data` its body as JSON text.

    `name` is empty for a sign of life; the first of those says that the subscription exists.
    """

    id: str
    name: str = ""
    data: str = ""


async def parse(chunks: AsyncIterable[bytes]) -> AsyncIterator[Event]:
    """The events of a `text/event-stream` (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    fields: dict[bytes, bytes] = {}
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line := line.rstrip(b"\r"):
                name, _, value = line.partition(b":")
                fields[name or b":"] = value.removeprefix(b" ")
            elif fields:
                yield Event(*(fields.get(name, b"").decode() for name in (b"id", b"event", b"data")))
                fields = {}


async def follow(
    http: Http, path: str, *, from_start: bool = False, after: str = "", **query: str | None
) -> AsyncIterator[Event]:
    """The events of `/events`, or of a session's watch, without end.

    `from_start`: first all that the stream still holds; `after`: first what has come since the event with this id. UnreachableError when nobody has answered for as long as `http` is
    patient; at once when nobody has ever answered.
    """
    last, lost = after, 0.0
    while True:
        headers = {"Accept-Encoding": "identity"} | ({"Last-Event-ID": last} if last else {})
        start = "start" if from_start and not last else None
        try:
            async with http.stream(path, headers=headers, silence=SILENCE, query={**query, "from": start}) as response:
                async for event in parse(response.aiter_bytes()):
                    last, lost = event.id or last, 0.0
                    yield event
        except UnreachableError:
            lost = lost or time.monotonic()
            if not last or time.monotonic() - lost > http.patience.seconds:
                raise
        except RefusedError as error:
            if error.status != 503 or not last:
                raise
        await asyncio.sleep(PAUSE)
