"""Partitions: looking at them; making, changing and deleting them, as the admin."""

from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import quote

from cyclopts import App, Parameter

from shared.client.cli.options import FIRST, PLAIN, Output, Paging, add
from shared.client.errors import UsageError

Priority = Annotated[
    int | None,
    Parameter(help="1 to 99: on workers that serve several, tasks of the higher one begin first; 1 if not given."),
]
Reserve = Annotated[int | None, Parameter(help="Slots that it has a right to; others are preempted for it.")]
Most = Annotated[str | None, Parameter(name="--max", help="Most tasks queued or running at once; `none`: no limit.")]

HEADS = ("partition", "workers", "slots", "outstanding", "running", "waiting", "priority", "reserve", "max", "notes")


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    group = App(
        name="partition",
        help="Partitions: what there is; make, change and delete them.",
        help_epilogue="Examples:\n\nheadrace partition list\n\nheadrace partition create gpu --priority 5",
    )
    add(group, list_partitions, name="list")
    for command in (create, update, delete):
        add(group, command)
    app.command(group)


def row(partition: dict[str, Any]) -> tuple[object, ...]:
    """A partition as a row of a table."""
    most = partition.get("max")
    counts = (partition.get(name, "") for name in HEADS[1:-2])
    return (partition["name"], *counts, "none" if most is None else most, "; ".join(notes(partition)))


def notes(partition: dict[str, Any]) -> Iterator[str]:
    """What keeps its tasks from running."""
    for function, count in partition.get("unplaced", {}).items():
        yield f"{count} wait for function {function}, which no live worker has"
    for worker, why in partition.get("unwell", {}).items():
        yield f"worker {worker} is unwell: {why}"


def list_partitions(*, paging: Paging = FIRST, output: Output = PLAIN) -> None:
    """Partitions, their workers and what waits there.

    Examples:

    headrace partition list

    headrace partition list --json | jq '.items[] | select(.workers == 0).name'
    """
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.paths import COMPUTE

    with Api() as api:
        page = api.get(f"{COMPUTE}/partitions", size=paging.size, token=paging.token)
    if output.json:
        show.document(page)
        return
    show.table("Partitions", HEADS, (row(p) for p in page["items"]))
    show.more(page)


def create(
    name: str, /, *, priority: Priority = None, reserve: Reserve = None, most: Most = None, output: Output = PLAIN
) -> None:
    """Make a partition. Making it again with the same values changes nothing.

    Examples:

    headrace partition create gpu --priority 5 --reserve 2 --max 8
    """
    _change("POST", name, _values(priority, reserve, most), output)


def update(
    name: str, /, *, priority: Priority = None, reserve: Reserve = None, most: Most = None, output: Output = PLAIN
) -> None:
    """Change what is given; the rest stays as it is. Takes effect within two seconds.

    Examples:

    headrace partition update gpu --reserve 4

    headrace partition update gpu --max none
    """
    values = _values(priority, reserve, most)
    if not values:
        raise UsageError("nothing to change: give --priority, --reserve or --max")
    _change("PATCH", name, values, output)


def delete(name: str, /, *, output: Output = PLAIN) -> None:
    """Delete a partition. Refused while an open session uses it or tasks of it have not ended.

    Examples:

    headrace partition delete gpu
    """
    _change("DELETE", name, {}, output)


def _values(priority: int | None, reserve: int | None, most: str | None) -> dict[str, Any]:
    values: dict[str, Any] = {"priority": priority, "reserve": reserve}
    values = {name: value for name, value in values.items() if value is not None}
    if most is not None:
        if most != "none" and not most.isdecimal():
            raise UsageError(f"--max {most}: give a number, or none")
        values["max"] = None if most == "none" else int(most)
    return values


def _change(method: str, name: str, values: dict[str, Any], output: Output) -> None:
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.paths import COMPUTE

    place = f"{COMPUTE}/partitions/{quote(name, safe='')}"
    with Api() as api:
        if method == "POST":
            reply = api.post(f"{COMPUTE}/partitions", {"name": name, **values})
        else:
            reply = api.delete(place) if method == "DELETE" else api.patch(place, values)
    if output.json:
        show.document(reply)
    else:
        show.facts(zip(HEADS, row(reply), strict=True))
