"""The progress of sessions while they run: bars for people, lines of JSON for machines."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from shared.client import Headrace
from shared.client.cli.watched_session import ENDED, WatchedSession
from shared.client.events import Event
from shared.client.paths import COMPUTE

INTERVAL = 0.5
"""Seconds between two batches of events, at least."""


class ProgressBoard:
    """Shows how sessions stand; prints nothing where nothing has changed."""

    def __init__(self, *, as_json: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._json = as_json
        self._shown: dict[str, Any] = {}
        self._bars: dict[str, Any] = {}
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rest]}"),
        )
        self._progress = Progress(*columns, console=Console(highlight=False), disable=as_json)

    def __enter__(self) -> "ProgressBoard":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, session: dict[str, Any], counts: dict[str, int]) -> None:
        """Prints a line for a session when its counts have changed. `counts`: tasks by status."""
        from rich.markup import escape

        from shared.client.cli import show

        name, status = session["id"], session["status"]
        if self._shown.get(name) == (status, counts):
            return
        self._shown[name] = (status, counts)
        if self._json:
            show.line({"session": name, "status": status, "tasks": counts})
            return
        ended = sum(counts.get(state, 0) for state in ENDED)
        states = ("waiting", "queued", "running", "failed", "cancelled")
        rest = ", ".join(f"{counts[state]} {state}" for state in states if counts.get(state))
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(escape(session["name"] or name), total=None, rest="")
        self._progress.update(self._bars[name], total=counts.get("total", 0), completed=ended, rest=rest or status)


async def follow_all(client: Headrace, board: ProgressBoard) -> None:
    """The sessions that run, counted anew when an event says that something may have changed; without end."""
    async for _ in _batches(client.events()):
        live = await client.http.get(f"{COMPUTE}/sessions", status="running", size=20)
        for one in live["items"]:
            seen = await client.http.get(f"{COMPUTE}/sessions/{one['id']}")
            board.show(seen, seen["tasks"] or {})


async def follow_one(client: Headrace, session: str, board: ProgressBoard) -> None:
    """One session by its watch, without counting anew; until it is over."""
    watched = WatchedSession()
    async for batch in _batches(client.sessions.watch(session)):
        for event in batch:
            watched.take(event)
        if watched.whole:
            board.show(watched.session, watched.counts())
        if watched.over:
            return


async def _batches(events: AsyncIterator[Event]) -> AsyncIterator[list[Event]]:
    """The events since the last batch, which is at least INTERVAL ago."""
    arrived: asyncio.Queue[Event | None] = asyncio.Queue(10_000)

    async def read() -> None:
        try:
            async for event in events:
                await arrived.put(event)
        finally:
            await arrived.put(None)

    reading = asyncio.create_task(read())
    try:
        while True:
            batch = [await arrived.get()]
            while not arrived.empty():
                batch.append(arrived.get_nowait())
            if found := [event for event in batch if event is not None]:
                yield found
            if None in batch:
                await reading  # raises what ended it
                return
            await asyncio.sleep(INTERVAL)
    finally:
        reading.cancel()
