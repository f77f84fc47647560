"""What happens, live."""

import json
import queue
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from services.gateway.cli.options import PLAIN, Output, add
from services.gateway.cli.trouble import CliError

if TYPE_CHECKING:
    from services.gateway.cli.stream import Told

EVERY = 0.5
"""Seconds between two looks at the counts, at least."""
LIVE = ("running", "paused")


def register(app: App) -> None:
    add(app, events)
    add(app, watch)


def events(
    *,
    session: Annotated[str | None, Parameter(help="Only this session's.")] = None,
    from_start: Annotated[
        bool, Parameter(negative="", show_default=False, help="All that the stream still has, then new ones.")
    ] = False,
    output: Output = PLAIN,
) -> None:
    """What happens, one line an event, until interrupted.

    Examples:

    headrace events

    headrace events --session 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f --from-start --json
    """
    from rich.text import Text

    from services.gateway.cli import show
    from services.gateway.cli.api import Api
    from services.gateway.cli.stream import follow

    out = show.console()
    with Api() as api:
        for told in follow(api, session, from_start=from_start):
            if not told.event:
                continue
            if output.json:
                show.line({"id": told.id, "event": told.event, "data": json.loads(told.data)})
            else:
                sequence = told.id.rpartition("-")[2]
                out.print(
                    Text(f"{sequence:>8}  "),
                    Text(f"{told.event:<20}", style="cyan"),
                    show.cell(_brief(told.data)),
                    sep="",
                )


def _brief(data: str) -> str:
    """A body for people: long lists as their lengths."""
    told = json.loads(data)
    if not isinstance(told, dict):
        return data
    parts = (f"{name}={len(value) if isinstance(value, list) else value}" for name, value in told.items())
    return " ".join(parts)


def watch(session: str | None = None, /, *, output: Output = PLAIN) -> None:
    """Progress of a session until it is closed, or of all that are live, until interrupted.

    Examples:

    headrace watch

    headrace watch 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f
    """
    from services.gateway.cli.api import Api

    with Api() as api, Watching(api, session, output.json) as watching:
        watching.run()


class Watching:
    """Looks at the counts when an event says that they may have changed, and at most every `EVERY` seconds."""

    def __init__(self, api: Any, session: str | None, as_json: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._api, self._session, self._json = api, session, as_json
        self._told: dict[str, Any] = {}
        self._bars: dict[str, Any] = {}
        self._stop = threading.Event()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rest]}"),
        )
        self._progress = Progress(*columns, console=Console(highlight=False), disable=as_json)

    def __enter__(self) -> "Watching":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._progress.stop()

    def run(self) -> None:
        for _ in self._changes():
            if self._look():
                return

    def _changes(self) -> Iterator[None]:
        """Yields when it is time to look."""
        told: queue.SimpleQueue[Told | CliError] = queue.SimpleQueue()
        threading.Thread(target=self._read, args=(told,), daemon=True).start()
        while True:
            found = [told.get()]
            while not told.empty():
                found.append(told.get())
            for one in found:
                if isinstance(one, CliError):
                    raise one
            yield
            self._stop.wait(EVERY)

    def _read(self, told: "queue.SimpleQueue[Told | CliError]") -> None:
        """In a thread, with a connection of its own: reading blocks until something happens."""
        from services.gateway.cli.api import Api
        from services.gateway.cli.stream import follow

        try:
            with Api(self._api.address) as api:
                for event in follow(api, self._session, stop=self._stop):
                    told.put(event)
        except CliError as error:
            told.put(error)

    def _look(self) -> bool:
        """Shows the counts; whether there is nothing more to wait for."""
        from services.gateway.cli.api import ROOT

        if self._session is not None:
            seen = [self._api.get(f"{ROOT}/sessions/{self._session}")]
        else:
            live = self._api.get(f"{ROOT}/sessions", status="running", size=20)["items"]
            seen = [self._api.get(f"{ROOT}/sessions/{one['id']}") for one in live]
        for one in seen:
            self._show(one)
        return self._session is not None and seen[0]["status"] not in LIVE

    def _show(self, told: dict[str, Any]) -> None:
        from rich.markup import escape

        from services.gateway.cli import show

        name, counts = told["id"], told["tasks"] or {}
        if self._told.get(name) == (told["status"], counts):
            return
        self._told[name] = (told["status"], counts)
        if self._json:
            show.line({"session": name, "status": told["status"], "tasks": counts})
            return
        ended = sum(counts.get(state, 0) for state in ("completed", "failed", "cancelled"))
        states = ("waiting", "queued", "running", "failed", "cancelled")
        rest = ", ".join(f"{counts[state]} {state}" for state in states if counts.get(state))
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(escape(told["name"] or name), total=None, rest="")
        self._progress.update(
            self._bars[name], total=counts.get("total", 0), completed=ended, rest=rest or told["status"]
        )
