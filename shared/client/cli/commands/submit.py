"""Handing in tasks, and waiting for them."""

import json
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, BinaryIO
from uuid import UUID

from cyclopts import App, Parameter

from shared.client.cli.options import PLAIN, Output, add
from shared.client.errors import FailedError, RefusedError, UsageError

_BLOCK = 256 * 1024


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    add(app, submit)


def submit(
    file: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    session: Annotated[
        str | None,
        Parameter(
            help="Into this session (see headrace session create); a new one if not given, which is closed when its tasks "
            "have ended. (headrace rerun opens it again.)"
        ),
    ] = None,
    keep: Annotated[
        bool, Parameter(negative="", show_default=False, help="The new session stays open, for more submissions.")
    ] = False,
    function: Annotated[str | None, Parameter(help="What runs the tasks that do not say it themselves.")] = None,
    partition: Annotated[str | None, Parameter(help="Where they run if they do not say it themselves.")] = None,
    priority: Annotated[int | None, Parameter(help="1 to 99, higher first.")] = None,
    wait: Annotated[
        bool, Parameter(negative="", show_default=False, help="Until all have ended; exit code 1 if one failed.")
    ] = False,
    output: Output = PLAIN,
) -> None:
    """Submit tasks: newline-delimited JSON, one task a line, any number of them.

    A line names its function, its payload (any JSON value) and its inputs:
    {"function": "square", "payload": 3}
    {"function": "sum", "inputs": ["@0", "@1"]}
    @0 is the output of line 0. Other fields: outputs (how many, 1 if not given),
    payload_result, inputs_from, and options (partition, priority, max_retries,
    max_duration, labels). What a line does not say is taken from the options
    below, then from the session.

    Parameters
    ----------
    file
        Its name, or `-` for stdin.

    Examples:

    headrace submit tasks.ndjson --wait

    echo '{"function": "echo", "payload": "hello"}' | headrace submit - --wait

    seq 100 | jq -c '{payload: .}' | headrace submit - --function square

    A task with more inputs than a line has room for (512 KiB): upload a JSON list of their ids, and name that result.

    headrace upload ids.json --session 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f

    echo '{"inputs_from": "<the result>"}' | headrace submit - --session 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f --function sum
    """
    if file.startswith("-") and file != "-":
        raise UsageError(f"unknown option {file}")
    if keep and session:
        raise UsageError("--keep goes with a new session, without --session")
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.paths import COMPUTE
    from shared.contracts.ids import submission_id

    given = {"function": function, "partition": partition, "priority": priority}
    options = {name: value for name, value in given.items() if value is not None}
    with Api() as api, _open(file) as source:
        new = not session
        if not session:
            settings = {"partitions": [partition] if partition else [], "close_when_done": not keep}
            session = str(api.post(f"{COMPUTE}/sessions", settings)["id"])
        following = _listen(api, session) if wait else None
        try:
            made = api.post(
                f"{COMPUTE}/sessions/{session}/submissions",
                content=_read(source, quiet=output.json),
                headers={"Content-Type": "application/x-ndjson"},
                query={"id": submission_id()} | ({"options": json.dumps(options)} if options else {}),
            )
        except RefusedError:
            if new:  # nobody knows of it
                api.post(f"{COMPUTE}/sessions/{session}/close")
            raise
        outcome = {"session": session, "submission": made["id"], "tasks": made["tasks"]}
        if following is None:
            _show_outcome(outcome, output)
            return
        if not output.json:
            _show_outcome(outcome, output)
        counts = _until_ended(following, UUID(made["id"]), made["tasks"], quiet=output.json)
        show.document(outcome | counts) if output.json else show.facts(counts.items())
        if counts["completed"] != made["tasks"]:
            raise FailedError(f"{made['tasks'] - counts['completed']} of {made['tasks']} tasks did not complete")


def _show_outcome(outcome: dict[str, Any], output: Output) -> None:
    from shared.client.cli import show

    show.document(outcome) if output.json else show.facts(outcome.items())


def _open(file: str) -> BinaryIO:
    if file == "-":
        return sys.stdin.buffer
    try:
        return open(file, "rb")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None


async def _read(source: BinaryIO, *, quiet: bool) -> AsyncIterator[bytes]:
    """The body in blocks, with a bar of what has been sent."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    bar = Progress(
        TextColumn("sent"),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=quiet,
    )
    with bar:
        sent = bar.add_task("sent", total=None)
        while block := source.read(_BLOCK):
            yield block
            bar.advance(sent, len(block))


def _listen(api: Any, session: str) -> Iterator[Any]:
    """The session's events from now on: the subscription exists when this returns."""
    following: Iterator[Any] = api.each(api.client.events(session=session))
    next(following)
    return following


def _until_ended(following: Iterator[Any], submission: UUID, total: int, *, quiet: bool) -> dict[str, int]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    from shared.client.cli.submission_progress import SubmissionProgress

    progress = SubmissionProgress(submission, total)
    bars = Bars(
        TextColumn("tasks"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=quiet,
    )
    with bars:
        bar = bars.add_task("tasks", total=total)
        while not progress.done:
            if progress.take(next(following)):
                bars.update(bar, completed=progress.ended)
    return progress.counts()
