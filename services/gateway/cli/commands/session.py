"""One session: look at it, and say what is to become of it."""

from collections.abc import Callable
from typing import Annotated, Any

from cyclopts import App, Parameter

from services.gateway.cli.options import PLAIN, Output, add
from services.gateway.cli.trouble import UsageError

EXAMPLE = "019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f"


def register(app: App) -> None:
    made = App(
        name="session",
        help="One session: how it stands, and what is to become of it.",
        help_epilogue=f"Examples:\n\nheadrace session {EXAMPLE}\n\nheadrace session pause {EXAMPLE}",
    )
    made.default(session)
    for command in (pause, resume, close, cancel, stop_submission, purge, delete):
        add(made, command)
    app.command(made)
    add(app, close_session, name="close")


def session(session: str, /, *, output: Output = PLAIN) -> None:
    """A session and how its tasks stand."""
    from services.gateway.cli.api import ROOT, Api

    with Api() as api:
        _show(api.get(f"{ROOT}/sessions/{session}"), output)


def pause(session: str, /, *, output: Output = PLAIN) -> None:
    """Pause a session: what runs finishes, nothing else begins.

    Examples:

    headrace session pause 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f
    """
    _verb(session, "pause", output)


def resume(session: str, /, *, output: Output = PLAIN) -> None:
    """Let a paused session go on.

    Examples:

    headrace session resume 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f
    """
    _verb(session, "resume", output)


def close(session: str, /, *, output: Output = PLAIN) -> None:
    """Close a session: what does not run yet is cancelled.

    Examples:

    headrace session close 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f
    """
    _verb(session, "close", output)


def close_session(session: str, /, *, output: Output = PLAIN) -> None:
    """Close a session: what does not run yet is cancelled. The same as headrace session close.

    Examples:

    headrace close 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f
    """
    _verb(session, "close", output)


def cancel(session: str, /, *, output: Output = PLAIN) -> None:
    """Cancel a session: its tasks end, those that run are stopped. For single tasks: headrace cancel.

    Examples:

    headrace session cancel 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f
    """
    _verb(session, "cancel", output)


def stop_submission(
    session: str,
    /,
    *,
    client: Annotated[bool, Parameter(negative="", show_default=False, help="From outside.")] = False,
    worker: Annotated[bool, Parameter(negative="", show_default=False, help="Of subtasks, by running tasks.")] = False,
    output: Output = PLAIN,
) -> None:
    """Let a session take no more tasks; those that it has run on. That cannot be taken back.

    Examples:

    headrace session stop-submission 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f --client
    """
    if not client and not worker:
        raise UsageError("say which: --client, --worker, or both")
    _verb(session, "stop-submission", output, {"client": client, "worker": worker})


def purge(session: str, /, *, output: Output = PLAIN) -> None:
    """Delete the values of a closed or cancelled session, and wait until they are gone. Its tasks can still be looked at.

    Examples:

    headrace session purge 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f
    """
    from services.gateway.cli.removing import purged

    _removed(purged, "purge", session, output)


def delete(session: str, /, *, output: Output = PLAIN) -> None:
    """Cancel what is left of a session, delete all of it, and wait until it is gone.

    Examples:

    headrace session delete 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f
    """
    from services.gateway.cli.removing import deleted

    _removed(deleted, "delete", session, output)


def _verb(session: str, verb: str, output: Output, body: Any = None) -> None:
    from services.gateway.cli.api import ROOT, Api

    with Api() as api:
        _show(api.post(f"{ROOT}/sessions/{session}/{verb}", body), output)


def _removed(remove: Callable[[Any, str, Any], Any], title: str, session: str, output: Output) -> None:
    from services.gateway.cli.api import Api
    from services.gateway.cli.bars import by_steps

    with Api() as api, by_steps(title, quiet=output.json) as tell:
        told = remove(api, session, tell)
    _show(told, output)


def _show(told: Any, output: Output) -> None:
    from services.gateway.cli import show

    show.document(told) if output.json else show.entity(told)
