"""Datasets: looking at them."""

from typing import Any

from cyclopts import App

from shared.client.cli.options import FIRST, PLAIN, Output, Paging, add

HEADS = ("pid", "name", "status", "files", "size", "datablocks", "damaged", "group", "created")


def register(app: App) -> None:
    add(app, datasets)
    made = App(
        name="dataset",
        help="A dataset, and why it is where it is; or give one up.",
        help_epilogue="Examples:\n\nheadrace dataset night/2026-03-01\n\nheadrace dataset abandon night/2026-03-01\n\n"
        "headrace dataset night/2026-03-01 --json | jq -r .dataset.datasetlifecycle.archiveStatusMessage",
    )
    made.default(dataset)
    add(made, abandon)
    app.command(made)


def datasets(*, paging: Paging = FIRST, output: Output = PLAIN) -> None:
    """Datasets, newest first.

    Examples:

    headrace datasets

    headrace datasets --json | jq -r '.items[].pid'
    """
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.paths import CATALOGUE

    with Api() as api:
        page = api.get(f"{CATALOGUE}/datasets", size=paging.size, token=paging.token)
    if output.json:
        show.document(page)
        return
    show.table("Datasets", HEADS, (_row(one) for one in page["items"]))
    show.more(page)


def _row(told: dict[str, Any]) -> tuple[Any, ...]:
    from shared.client.cli import show
    from shared.client.datasets import archive_status

    return (
        told["pid"],
        told["datasetName"],
        archive_status(told),
        told["numberOfFiles"],
        show.size(told["size"]),
        told["numberOfDatablocks"],
        told.get("numberOfDamagedDatablocks") or "",
        told["ownerGroup"],
        told["createdAt"][:19].replace("T", " "),
    )


def dataset(pid: str, /, *, output: Output = PLAIN) -> None:
    """A dataset, and why it is where it is."""
    from shared.client.cli import show
    from shared.client.cli.api import Api

    with Api() as api:
        one = api.client.datasets.one(pid)
        seen, told = api.run(one.get()), api.run(one.explain())
    if output.json:
        show.document({"dataset": seen, "summary": told["summary"], "reasons": told["reasons"]})
        return
    show.summary(told["summary"], told["reasons"])
    lifecycle = seen.pop("datasetlifecycle")
    show.facts([*seen.items(), *((name, value) for name, value in lifecycle.items())])


def abandon(pid: str, /, *, output: Output = PLAIN) -> None:
    """Give up a dataset that is not archived: its name is free again, and what was uploaded is removed.

    What packs it is stopped. Done twice, it is as done once.

    Examples:

    headrace dataset abandon night/2026-03-01
    """
    from shared.client.cli import show
    from shared.client.cli.api import Api

    with Api() as api:
        gone = api.run(api.client.datasets.one(pid).abandon())
    if output.json:
        show.document(gone)
        return
    show.facts([("abandoned", gone["pid"]), ("files", gone["numberOfFiles"]), ("size", show.size(gone["size"]))])
