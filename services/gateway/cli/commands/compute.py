"""Sessions, tasks, results: looking at them."""

import re
from typing import Annotated, Any

from cyclopts import App, Parameter

from services.gateway.cli.options import FIRST, PLAIN, Output, Paging, add

_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
Status = Annotated[str | None, Parameter(help="Only those in this state.")]


def register(app: App) -> None:
    for command in (sessions, tasks, explain, results):
        add(app, command)


def sessions(*, status: Status = None, paging: Paging = FIRST, output: Output = PLAIN) -> None:
    """Sessions, newest first.

    Examples:

    headrace sessions --status running
    """
    heads = ("session", "name", "status", "owner", "created")
    _list("Sessions", "sessions", status, paging, output, heads, ("id", "name", "status", "owner", "created_at"))


def tasks(session: str, /, *, status: Status = None, paging: Paging = FIRST, output: Output = PLAIN) -> None:
    """Tasks of a session, in the order in which they were submitted.

    Examples:

    headrace tasks 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f --status error
    """
    heads = ("id", "status", "function", "partition", "attempt", "worker", "error")
    _list("Tasks", f"sessions/{session}/tasks", status, paging, output, heads, heads)


def results(session: str, /, *, status: Status = None, paging: Paging = FIRST, output: Output = PLAIN) -> None:
    """Results of a session.

    Examples:

    headrace results 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f --status completed
    """
    heads = ("id", "status", "size", "name", "owner_task")
    _list("Results", f"sessions/{session}/results", status, paging, output, heads, heads)


def _list(
    title: str,
    path: str,
    status: str | None,
    paging: Paging,
    output: Output,
    heads: tuple[str, ...],
    names: tuple[str, ...],
) -> None:
    from services.gateway.cli import show
    from services.gateway.cli.api import ROOT, Api

    with Api() as api:
        page = api.get(f"{ROOT}/{path}", status=status, size=paging.size, token=paging.token)
    if output.json:
        show.document(page)
        return
    show.table(title, heads, ([_short(item[name]) for name in names] for item in page["items"]))
    show.more(page)


def _short(value: Any) -> Any:
    """Times to the second."""
    return value[:19].replace("T", " ") if isinstance(value, str) and _TIME.match(value) else value


def explain(task: str, /, *, output: Output = PLAIN) -> None:
    """Why a task is where it is.

    Examples:

    headrace explain 019a6f2e-5d3c-7a10-8c44-000200000007
    """
    from services.gateway.cli import show
    from services.gateway.cli.api import ROOT, Api

    with Api() as api:
        told = api.get(f"{ROOT}/tasks/{task}/explain")
    if output.json:
        show.document(told)
        return
    show.console().print(show.cell(told["summary"]), style="bold")
    if told.get("since"):
        show.console().print(show.cell(f"  - since {_short(told['since'])}"))
    for reason in told["reasons"]:
        show.console().print(show.cell(f"  - {reason}"))
    show.entity(told["task"])
