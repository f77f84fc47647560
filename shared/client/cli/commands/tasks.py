"""Tasks: ending them, and giving them another attempt."""

from itertools import groupby
from typing import Annotated, Any
from uuid import UUID

from cyclopts import App, Parameter

from shared.client.cli.options import PLAIN, Output, add
from shared.client.errors import UsageError

AT_ONCE = 10_000
"""Tasks that one request names."""


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    add(app, cancel)
    add(app, rerun)


def cancel(*tasks: UUID, output: Output = PLAIN) -> None:
    """Cancel tasks; those that run are stopped, and what waits for their results fails. For all: headrace session cancel.

    Parameters
    ----------
    tasks
        Their ids; those that have ended stay as they are.

    Examples:

    headrace cancel 019a6f2e-5d3c-7a10-8c44-000200000007 019a6f2e-5d3c-7a10-8c44-000200000008
    """
    if not tasks:
        raise UsageError("give the ids of the tasks")
    from shared.client.cli.api import Api
    from shared.client.paths import COMPUTE
    from shared.contracts.ids import submission_of

    changes = {"changed": 0, "unchanged": 0}
    with Api() as api:
        sessions: dict[str, list[str]] = {}
        for _, group in groupby(sorted(set(tasks)), key=submission_of):
            ids = [str(one) for one in group]  # tasks of one submission are of one session
            sessions.setdefault(api.get(f"{COMPUTE}/tasks/{ids[0]}")["session"], []).extend(ids)
        for session, ids in sessions.items():
            for start in range(0, len(ids), AT_ONCE):
                reply = api.post(f"{COMPUTE}/sessions/{session}/tasks/cancel", {"tasks": ids[start : start + AT_ONCE]})
                changes = {name: count + reply[name] for name, count in changes.items()}
    _show_outcome(changes, [], output)


def rerun(
    session: str,
    /,
    *,
    task: Annotated[
        tuple[UUID, ...], Parameter(negative="", show_default=False, help="Only this one; may be given several times.")
    ] = (),
    status: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            show_default=False,
            help="error, timeout or cancelled; may be given several times.  [default: error, timeout]",
        ),
    ] = (),
    output: Output = PLAIN,
) -> None:
    """Give tasks of a session that ended badly another attempt, and those that ended because of them.

    Examples:

    headrace rerun 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f

    headrace rerun 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f --status timeout

    headrace rerun 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f --task 019a6f2e-5d3c-7a10-8c44-000200000007
    """
    if task and status:
        raise UsageError("give either --task or --status")
    from shared.client.cli.api import Api
    from shared.client.paths import COMPUTE

    with Api() as api:
        path = f"{COMPUTE}/sessions/{session}/tasks/rerun"
        named = [str(one) for one in task]
        bodies: list[dict[str, Any]] = [
            {"tasks": named[start : start + AT_ONCE]} for start in range(0, len(named), AT_ONCE)
        ] or [{"statuses": list(status)} if status else {}]
        changes = {"changed": 0, "unchanged": 0}
        reasons: list[dict[str, str]] = []
        for body in bodies:
            reply = api.post(path, body)
            changes = {name: count + reply[name] for name, count in changes.items()}
            reasons += reply.get("reasons", [])
    _show_outcome(changes, reasons, output)


def _show_outcome(changes: dict[str, int], reasons: list[dict[str, str]], output: Output) -> None:
    """`reasons`: why tasks stay as they are."""
    from shared.client.cli import show

    if output.json:
        show.document(changes | ({"reasons": reasons} if reasons else {}))
        return
    show.facts(changes.items())
    if reasons:
        show.table("\nUnchanged", ("task", "reason"), ((one["task"], one["reason"]) for one in reasons))
