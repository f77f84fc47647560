"""What happens, live."""

import json
from typing import Annotated

from cyclopts import App, Parameter

from shared.client.cli.options import PLAIN, Output, add


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
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

    from shared.client.cli import show
    from shared.client.cli.api import Api

    out = show.console()
    with Api() as api:
        for event in api.each(api.client.events(from_start=from_start, session=session)):
            if not event.name:
                continue
            if output.json:
                show.line({"id": event.id, "event": event.name, "data": json.loads(event.data)})
            else:
                sequence = event.id.rpartition("-")[2]
                out.print(
                    Text(f"{sequence:>8}  "),
                    Text(f"{event.name:<20}", style="cyan"),
                    show.cell(_brief(event.data)),
                    sep="",
                )


def _brief(data: str) -> str:
    """A body for people: long lists as their lengths."""
    body = json.loads(data)
    if not isinstance(body, dict):
        return data
    parts = (f"{name}={len(value) if isinstance(value, list) else value}" for name, value in body.items())
    return " ".join(parts)


def watch(session: str | None = None, /, *, output: Output = PLAIN) -> None:
    """Progress of a session until it is closed and its tasks have ended, or of all that run, until interrupted.

    Examples:

    headrace watch

    headrace watch 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f
    """
    from shared.client.cli.api import Api
    from shared.client.cli.progress_board import ProgressBoard, follow_all, follow_one

    with Api() as api, ProgressBoard(as_json=output.json) as board:
        if session is None:
            api.run(follow_all(api.client, board))
        else:
            api.run(follow_one(api.client, session, board))
