"""Questions about many tasks: how many, and after which attempts."""

from cyclopts import App

from shared.client.cli.options import EVERYTHING, FIRST, PLAIN, Filters, Output, Paging, add


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    for command in (count, attempts):
        add(app, command)


def count(session: str, /, *, filters: Filters = EVERYTHING, output: Output = PLAIN) -> None:
    """How many tasks of a session are in each state.

    Examples:

    headrace count 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f

    headrace count 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f --where 'function=reduce,labels.night=2026-03-01'
    """
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.cli.filter_text import parse_filter
    from shared.client.paths import COMPUTE
    from shared.contracts.compute.filters import TASK_FIELDS

    where = parse_filter(filters.where, TASK_FIELDS)
    with Api() as api:
        reply = api.get(f"{COMPUTE}/sessions/{session}/tasks/count", where=where)
    if output.json:
        show.document(reply)
        return
    show.facts([*reply["counts"].items(), ("total", str(reply["total"]))])


def attempts(task: str, /, *, paging: Paging = FIRST, output: Output = PLAIN) -> None:
    """The attempts at a task, from the first to the current one.

    Examples:

    headrace attempts 019a6f2e-5d3c-7a10-8c44-000200000007
    """
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.paths import COMPUTE

    with Api() as api:
        page = api.get(f"{COMPUTE}/tasks/{task}/attempts", size=paging.size, token=paging.token)
    if output.json:
        show.document(page)
        return
    heads = ("attempt", "status", "worker", "started_at", "ended_at", "error")
    show.table("Attempts", heads, ([show.when(item[name]) for name in heads] for item in page["items"]))
    show.more(page)
