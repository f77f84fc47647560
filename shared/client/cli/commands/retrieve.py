"""Files back from long-term storage."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from shared.client.cli.options import PLAIN, Output, add
from shared.client.errors import FailedError, UsageError


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    add(app, retrieve)


def retrieve(
    pid: str,
    /,
    *,
    to: Annotated[Path | None, Parameter(help="Download and unpack into this folder.")] = None,
    keep_tars: Annotated[
        bool, Parameter(negative="", show_default=False, help="Leave the datablocks in the folder too.")
    ] = False,
    force: Annotated[
        bool, Parameter(negative="", show_default=False, help="Replace files that are there with other content.")
    ] = False,
    no_wait: Annotated[
        bool, Parameter(negative="", show_default=False, help="Return when the retrieval is handed in.")
    ] = False,
    output: Output = PLAIN,
) -> None:
    """Bring a dataset back from long-term storage: where its datablocks are then, or its files into a folder.

    Every file is checked. What is damaged on long-term storage is listed, and everything else comes back. The same call again goes on with the datablock at which an earlier one was broken off.

    Parameters
    ----------
    pid
        The dataset.

    Examples:

    headrace retrieve night/2026-03-01 --to exposures/

    headrace retrieve night/2026-03-01 --json | jq -r '.datablocks[].url'
    """
    if to is None and (keep_tars or force):
        raise UsageError("--keep-tars and --force are about the folder: give --to")
    if to is not None and no_wait:
        raise UsageError("--no-wait cannot download: give no --to")
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.cli.retrieval import CommandRetrieval, bring

    if to is not None and to.exists() and not to.is_dir():
        raise UsageError(f"{to} is not a folder")
    with Api() as api:
        retrieval = CommandRetrieval(api, pid, quiet=output.json)
        if not no_wait:
            retrieval.wait()
        if to is None:
            outcome: dict[str, Any] = {"datablocks": [] if no_wait else list(retrieval.datablocks())}
        else:
            _make(to)
            outcome = bring(api, retrieval, to, keep_tars, force, output.json) | {"folder": str(to)}
        missing = list(retrieval.missing()) if retrieval.document["status"] == "partial" else []
    if missing:
        outcome["missing"] = missing
    if output.json:
        show.document({"retrieval": retrieval.document} | outcome)
    else:
        (_show_outcome if to is None else _show_counts)(retrieval.document, outcome)
    if missing:
        raise FailedError(f"{retrieval.document['error']}: {len(missing)} files of {pid} did not come back")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}") from None


def _show_outcome(outcome: dict[str, Any], rest: dict[str, Any]) -> None:
    """The addresses are secrets: on a terminal they are only counted."""
    from shared.client.cli import show

    show.facts([("retrieval", outcome["id"]), ("status", outcome["status"])])
    if blocks := rest["datablocks"]:
        rows = ((one["name"], show.size(one["size"]), one.get("damage", "")) for one in blocks)
        show.table("Datablocks", ("datablock", "size", "damage"), rows)
    _show_missing(rest)


def _show_counts(outcome: dict[str, Any], counts: dict[str, Any]) -> None:
    from shared.client.cli import show

    facts = [(name, count) for name, count in counts.items() if name != "missing"]
    show.facts([("retrieval", outcome["id"]), *facts, ("size", show.size(counts["bytes"]))])
    _show_missing(counts)


def _show_missing(outcome: dict[str, Any]) -> None:
    from shared.client.cli import show

    for path in outcome.get("missing", ()):
        show.console().print(show.cell(f"missing: {path}"))
