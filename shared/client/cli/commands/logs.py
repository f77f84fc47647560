"""What a task's code prints."""

import time
from collections.abc import Iterator
from typing import Annotated, Any

from cyclopts import App, Parameter

from shared.client.cli.options import PLAIN, Output, add

EVERY = 0.5
"""Seconds between two questions."""


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    add(app, logs)


def logs(
    task: str,
    /,
    *,
    attempt: Annotated[int | None, Parameter(help="Of this attempt, from 0; of the latest if not given.")] = None,
    follow: Annotated[
        bool,
        Parameter(name=["--follow", "-f"], negative="", show_default=False, help="Go on until the task has ended."),
    ] = False,
    output: Output = PLAIN,
) -> None:
    """What a task's code has printed, also while it runs.

    Examples:

    headrace logs 019a6f2e-5d3c-7a10-8c44-000200000007

    headrace logs 019a6f2e-5d3c-7a10-8c44-000200000007 --follow

    headrace logs 019a6f2e-5d3c-7a10-8c44-000200000007 --attempt 0 --json | jq -r .text
    """
    from shared.client.cli import show
    from shared.client.cli.api import Api

    with Api() as api:
        pages = _followed(api, task, attempt) if follow else _pages(api, task, attempt)
        for page in pages if follow or not output.json else [_joined(pages)]:
            show.line(page) if output.json else show.text(page["text"])


def _pages(api: Any, task: str, attempt: int | None, start: int = 0) -> Iterator[dict[str, Any]]:
    """What there is of one attempt; one page at least."""
    from shared.client.paths import COMPUTE

    while True:
        page = api.get(f"{COMPUTE}/tasks/{task}/logs", attempt=attempt, start=start)
        yield page
        if not page["more"]:
            return
        attempt, start = page["attempt"], page["next"]


def _joined(pages: Iterator[dict[str, Any]]) -> dict[str, Any]:
    every = list(pages)
    return every[-1] | {"text": "".join(page["text"] for page in every)}


def _followed(api: Any, task: str, attempt: int | None) -> Iterator[dict[str, Any]]:
    """Pages as they come, of one attempt, or of the latest and those after it."""
    last: dict[str, Any] = {"attempt": attempt, "next": 0, "ended": False}
    while True:
        for page in _pages(api, task, last["attempt"], last["next"]):
            last = page
            if page["text"] or page["ended"]:
                yield page
        if last["ended"]:
            latest = attempt if attempt is not None else next(_pages(api, task, None))["attempt"]
            if latest == last["attempt"]:
                return
            last = {"attempt": last["attempt"] + 1, "next": 0, "ended": False}
        else:
            time.sleep(EVERY)
