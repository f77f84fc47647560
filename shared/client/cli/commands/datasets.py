"""Datasets: looking at them."""

from typing import Annotated, Any

from cyclopts import App, Parameter

from shared.client.cli.options import FIRST, PLAIN, Output, Paging, add

FILES = ("path", "size", "datablock", "sha256")
HEADS = ("pid", "name", "status", "files", "size", "datablocks", "damaged", "group", "created")


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    add(app, datasets)
    made = App(
        name="dataset",
        help="A dataset, and why it is where it is; or give one up.",
        help_epilogue="Examples:\n\nheadrace dataset night/2026-03-01\n\nheadrace dataset night/2026-03-01 --files\n\n"
        "headrace dataset abandon night/2026-03-01\n\n"
        "headrace dataset night/2026-03-01 --json | jq -r .dataset.datasetlifecycle.archiveStatusMessage",
    )
    made.default(dataset)
    add(made, abandon)
    app.command(made)


def datasets(
    search: str | None = None,
    /,
    *,
    status: Annotated[
        str | None, Parameter(help="Only those with this status of archiving, such as datasetOnArchiveDisk.")
    ] = None,
    group: Annotated[str | None, Parameter(help="Only those of this group.")] = None,
    damaged: Annotated[
        bool, Parameter(negative="", show_default=False, help="Only those that are damaged on long-term storage.")
    ] = False,
    paging: Paging = FIRST,
    output: Output = PLAIN,
) -> None:
    """Datasets, newest first.

    Parameters
    ----------
    search
        Only those with this text in their pid, name or description.

    Examples:

    headrace datasets

    headrace datasets m13 --status datasetOnArchiveDisk

    headrace datasets --damaged --json | jq -r '.items[].pid'
    """
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.paths import DATA

    query = {"search": search, "status": status, "group": group, "damaged": "true" if damaged else None}
    with Api() as api:
        page = api.get(f"{DATA}/datasets", **query, size=paging.size, token=paging.token)
    if output.json:
        show.document(page)
        return
    show.table("Datasets", HEADS, (_row(one) for one in page["items"]))
    show.more(page)


def _row(dataset: dict[str, Any]) -> tuple[Any, ...]:
    from shared.client.cli import show
    from shared.client.datasets import archive_status

    return (
        dataset["pid"],
        dataset["datasetName"],
        archive_status(dataset),
        dataset["numberOfFiles"],
        show.size(dataset["size"]),
        dataset["numberOfDatablocks"],
        dataset.get("numberOfDamagedDatablocks") or "",
        dataset["ownerGroup"],
        dataset["createdAt"][:19].replace("T", " "),
    )


def dataset(
    pid: str,
    /,
    *,
    files: Annotated[bool, Parameter(negative="", show_default=False, help="With the files that it has.")] = False,
    output: Output = PLAIN,
) -> None:
    """A dataset, and why it is where it is; with its files, if asked for."""
    from shared.client.cli import show
    from shared.client.cli.api import Api

    with Api() as api:
        one = api.client.datasets.one(pid)
        seen, explanation = api.run(one.get()), api.run(one.explain())
        found = _files(api, one, seen) if files else []
    if output.json:
        more = {"files": found} if files else {}
        show.document({"dataset": seen, "summary": explanation["summary"], "reasons": explanation["reasons"]} | more)
        return
    show.summary(explanation["summary"], explanation["reasons"])
    lifecycle = seen.pop("datasetlifecycle")
    show.facts([*seen.items(), *((name, value) for name, value in lifecycle.items())])
    if files:
        show.table("Files", FILES, ((_file(one)) for one in found))


def _files(api: Any, one: Any, dataset: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of its datablocks; until it is packed, those that are registered."""
    return list(api.each(one.files() if dataset["numberOfDatablocks"] else one.uploads()))


def _file(file: dict[str, Any]) -> tuple[Any, ...]:
    from shared.client.cli import show

    where = file.get("datablock") or ("uploaded" if file["uploaded"] else "not uploaded yet")
    return file["path"], show.size(file["size"]), where, file["chk"]


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
