"""Sessions, tasks, results: looking at them."""

from typing import Annotated

from cyclopts import App, Parameter

from shared.client.cli.options import AS_IT_IS, FIRST, PLAIN, Finding, Output, Paging, add

Status = Annotated[str | None, Parameter(help="Only those in this state.")]

TASKS = ("id", "status", "function", "partition", "attempt", "worker", "error")
"""Columns of the tasks."""


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    for command in (sessions, tasks, explain, results):
        add(app, command)


def sessions(
    *, status: Status = None, finding: Finding = AS_IT_IS, paging: Paging = FIRST, output: Output = PLAIN
) -> None:
    """Sessions, newest first.

    Examples:

    headrace sessions --status running

    headrace sessions --where 'options.priority>5' --sort name
    """
    heads = ("session", "name", "status", "owner", "created")
    _list(
        "Sessions", "sessions", status, finding, paging, output, heads, ("id", "name", "status", "owner", "created_at")
    )


def tasks(
    session: str,
    /,
    *,
    status: Status = None,
    finding: Finding = AS_IT_IS,
    paging: Paging = FIRST,
    output: Output = PLAIN,
) -> None:
    """Tasks of a session, by default in the order in which they were submitted.

    Examples:

    headrace tasks 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f --status error

    headrace tasks 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f --where 'status=error,priority>5' --where 'labels.night=1' --sort -ended_at
    """
    _list("Tasks", f"sessions/{session}/tasks", status, finding, paging, output, TASKS, TASKS)


def results(
    session: str,
    /,
    *,
    status: Status = None,
    finding: Finding = AS_IT_IS,
    paging: Paging = FIRST,
    output: Output = PLAIN,
) -> None:
    """Results of a session.

    Examples:

    headrace results 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f --status completed

    headrace results 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f --where 'size>=1048576' --sort -size
    """
    heads = ("id", "status", "size", "name", "owner_task")
    _list("Results", f"sessions/{session}/results", status, finding, paging, output, heads, heads)


def _list(
    title: str,
    path: str,
    status: str | None,
    finding: Finding,
    paging: Paging,
    output: Output,
    heads: tuple[str, ...],
    names: tuple[str, ...],
) -> None:
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.cli.filter_text import parse_filter
    from shared.client.paths import COMPUTE
    from shared.contracts.compute import filters

    fields = {"Sessions": filters.SESSION_FIELDS, "Tasks": filters.TASK_FIELDS, "Results": filters.RESULT_FIELDS}[title]
    asked = {"status": status, "where": parse_filter(finding.where, fields), "sort": finding.sort}
    with Api() as api:
        page = api.get(f"{COMPUTE}/{path}", **asked, size=paging.size, token=paging.token)
    if output.json:
        show.document(page)
        return
    show.table(title, heads, ([show.when(item[name]) for name in names] for item in page["items"]))
    show.more(page)


def explain(id: str, /, *, output: Output = PLAIN) -> None:
    """Why something is where it is.

    Parameters
    ----------
    id
        Of a task, a session, a result, a submission, a retrieval, a job, an offer or an operation; the pid of a dataset; the name of a
        partition.

    Examples:

    headrace explain 019a6f2e-5d3c-7a10-8c44-000200000007

    headrace explain night/2026-03-01
    """
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.cli.explanations import explain as look_up

    with Api() as api:
        found = look_up(api, id)
    if output.json:
        since = {"since": found.since} if found.since else {}
        show.document({found.kind: found.document, "summary": found.summary, "reasons": found.reasons} | since)
        return
    show.summary(found.summary, found.reasons, found.since)
    show.entity(found.document)
