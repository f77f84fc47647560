"""Progress of sessions, live: bars for people, lines of JSON for machines."""

import queue
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from shared.client.cli.picture import ENDED, Picture
from shared.client.cli.trouble import CliError

if TYPE_CHECKING:
    from shared.client.cli.stream import Told

EVERY = 0.5
"""Seconds between two looks, at least."""


class Board:
    """Shows how sessions stand; says nothing where nothing has changed."""

    def __init__(self, *, as_json: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._json = as_json
        self._told: dict[str, Any] = {}
        self._bars: dict[str, Any] = {}
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rest]}"),
        )
        self._progress = Progress(*columns, console=Console(highlight=False), disable=as_json)

    def __enter__(self) -> "Board":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, session: dict[str, Any], counts: dict[str, int]) -> None:
        from rich.markup import escape

        from shared.client.cli import show

        name, status = session["id"], session["status"]
        if self._told.get(name) == (status, counts):
            return
        self._told[name] = (status, counts)
        if self._json:
            show.line({"session": name, "status": status, "tasks": counts})
            return
        ended = sum(counts.get(state, 0) for state in ENDED)
        states = ("waiting", "queued", "running", "failed", "cancelled")
        rest = ", ".join(f"{counts[state]} {state}" for state in states if counts.get(state))
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(escape(session["name"] or name), total=None, rest="")
        self._progress.update(self._bars[name], total=counts.get("total", 0), completed=ended, rest=rest or status)


def follow_all(api: Any, board: Board) -> None:
    """The sessions that run, counted anew when an event says that something may have changed. Until interrupted."""
    from shared.client.cli.api import ROOT

    for _ in _batches(api, None):
        live = api.get(f"{ROOT}/sessions", status="running", size=20)["items"]
        for one in live:
            seen = api.get(f"{ROOT}/sessions/{one['id']}")
            board.show(seen, seen["tasks"] or {})


def follow_one(api: Any, session: str, board: Board) -> None:
    """A session by its watch: nothing is counted anew. Until it is over."""
    picture = Picture()
    for batch in _batches(api, session):
        for told in batch:
            picture.take(told)
        if picture.whole:
            board.show(picture.session, picture.counts())
        if picture.over:
            return


def _batches(api: Any, session: str | None) -> Iterator[list["Told"]]:
    """What has come since the last time, and at least a moment later."""
    told: queue.Queue[Told | CliError] = queue.Queue(10_000)
    stop = threading.Event()
    threading.Thread(target=_read, args=(api.address, session, told, stop), daemon=True).start()
    try:
        while True:
            found = [told.get()]
            while not told.empty():
                found.append(told.get())
            batch = [one for one in found if not isinstance(one, CliError)]
            if batch:
                yield batch
            for one in found:
                if isinstance(one, CliError):
                    raise one
            stop.wait(EVERY)
    finally:
        stop.set()


def _read(address: Any, session: str | None, told: "queue.Queue[Told | CliError]", stop: threading.Event) -> None:
    """In a thread, with a connection of its own: reading blocks until something happens."""
    from shared.client.cli.api import ROOT, Api
    from shared.client.cli.stream import follow

    path = "/events" if session is None else f"{ROOT}/sessions/{session}/watch"
    try:
        with Api(address) as api:
            for event in follow(api, path, stop=stop):
                told.put(event)
    except CliError as error:
        told.put(error)
