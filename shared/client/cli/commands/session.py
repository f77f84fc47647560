"""One session: look at it, and say what is to become of it."""

from collections.abc import Callable
from typing import Annotated, Any

from cyclopts import App, Parameter

from shared.client.cli.options import PLAIN, Output, add
from shared.client.errors import UsageError

EXAMPLE = "019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f"


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    made = App(
        name="session",
        help="One session: how it stands, and what is to become of it.",
        help_epilogue=f"Examples:\n\nheadrace session create --function square\n\nheadrace session {EXAMPLE}\n\n"
        f"headrace session pause {EXAMPLE}",
    )
    made.default(session)
    for command in (create, pause, resume, close, cancel, stop_submission, purge, delete):
        add(made, command)
    app.command(made)
    add(app, close_session, name="close")


def session(session: str, /, *, output: Output = PLAIN) -> None:
    """A session and how its tasks stand."""
    from shared.client.cli.api import Api
    from shared.client.paths import COMPUTE

    with Api() as api:
        _show(api.get(f"{COMPUTE}/sessions/{session}"), output)


def create(
    *,
    name: Annotated[str | None, Parameter(help="What people call it.")] = None,
    partition: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            show_default=False,
            help="One that its tasks may use; may be given several times. Tasks that say nothing go to the first.  "
            "[default: default]",
        ),
    ] = (),
    function: Annotated[str | None, Parameter(help="What runs the tasks that do not say it themselves.")] = None,
    priority: Annotated[int | None, Parameter(help="1 to 99, higher first.")] = None,
    max_retries: Annotated[int | None, Parameter(help="Further attempts when a worker was lost.")] = None,
    max_duration: Annotated[float | None, Parameter(help="Seconds that the code of a task may run.")] = None,
    ttl: Annotated[float | None, Parameter(help="Seconds after which it is deleted with all that is in it.")] = None,
    output: Output = PLAIN,
) -> None:
    """Open a session, to submit to and to upload into.

    Examples:

    headrace session create --function square --ttl 86400

    headrace session create --partition gpu --partition default --json | jq -r .id
    """
    from shared.client.cli.api import Api
    from shared.client.paths import COMPUTE

    options = {"function": function, "priority": priority, "max_retries": max_retries, "max_duration": max_duration}
    asked: dict[str, Any] = {"name": name, "partitions": list(partition) or None, "ttl": ttl}
    asked["options"] = {option: value for option, value in options.items() if value is not None} or None
    with Api() as api:
        _show(
            api.post(f"{COMPUTE}/sessions", {field: value for field, value in asked.items() if value is not None}),
            output,
        )


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
    from shared.client import session_removal

    _removed(session_removal.purge, "purge", session, output)


def delete(session: str, /, *, output: Output = PLAIN) -> None:
    """Cancel what is left of a session, delete all of it, and wait until it is gone.

    Examples:

    headrace session delete 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f
    """
    from shared.client import session_removal

    _removed(session_removal.delete, "delete", session, output)


def _verb(session: str, verb: str, output: Output, body: Any = None) -> None:
    from shared.client.cli.api import Api
    from shared.client.paths import COMPUTE

    with Api() as api:
        _show(api.post(f"{COMPUTE}/sessions/{session}/{verb}", body), output)


def _removed(remove: Callable[[Any, str, Any], Any], title: str, session: str, output: Output) -> None:
    from shared.client.cli.api import Api
    from shared.client.cli.progress_bars import by_steps

    with Api() as api, by_steps(title, quiet=output.json) as note:
        removed = api.run(remove(api.client.http, session, note))
    _show(removed, output)


def _show(reply: Any, output: Output) -> None:
    from shared.client.cli import show

    show.document(reply) if output.json else show.entity(reply)
