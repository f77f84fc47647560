"""Operations: long work of all services, listed, looked at, waited for, cancelled."""

from collections.abc import Iterator
from typing import Annotated, Any

from cyclopts import App, Parameter

from shared.client.cli.options import FIRST, PLAIN, Output, Paging, add

HEADS = ("operation", "kind", "target", "state", "done", "step", "error")
BYTES = "bytes"


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    add(app, list_operations, name="operations")
    group = App(
        name="operation",
        help="Long work, such as archiving, retrieving, purging: look at it, wait for it, cancel it.",
        help_epilogue="Examples:\n\nheadrace operations --active\n\nheadrace operation wait 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f",
    )
    for command in (show_one, wait, cancel):
        add(group, command, **({"name": "show"} if command is show_one else {}))
    app.command(group)


def list_operations(
    *,
    kind: Annotated[
        str | None, Parameter(help="Only such: archive, repair, retrieve, upload, abandon, purge, delete.")
    ] = None,
    target: Annotated[str | None, Parameter(help="Only of this: datasets/<pid>, sessions/<session>.")] = None,
    active: Annotated[bool, Parameter(negative="", show_default=False, help="Only those that have not ended.")] = False,
    paging: Paging = FIRST,
    output: Output = PLAIN,
) -> None:
    """Operations of all services, newest first.

    Examples:

    headrace operations --active

    headrace operations --target datasets/night/2026-03-01 --json | jq '.items[].metadata.progress'
    """
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.paths import OPERATIONS

    asked = {"kind": kind, "target": target, "active": "true" if active else None}
    with Api() as api:
        page = api.get(OPERATIONS, **asked, size=paging.size, token=paging.token)
    if output.json:
        show.document(page)
        return
    show.table("Operations", HEADS, (row(one) for one in page["items"]))
    show.more(page)


def row(operation: dict[str, Any]) -> tuple[object, ...]:
    """An operation as a row of a table."""
    about = operation["metadata"]
    error = operation.get("error", {}).get("message") or about.get("message", "")
    id = operation["name"].removeprefix("operations/")
    done = ", ".join(amounts(about.get("progress", {})))
    return (id, about["kind"], about["target"], about["state"], done, about["step"], error)


def amounts(progress: dict[str, dict[str, int]]) -> Iterator[str]:
    """`3 of 10 datablocks`, `1.2 GB of 4.0 GB`, for each unit."""
    from shared.client.cli import show

    for unit, amount in progress.items():
        in_bytes = unit.endswith(BYTES)
        done, *total = [show.size(n) if in_bytes else str(n) for n in amount.values()]
        name = unit.replace("_", " ").removesuffix(BYTES).strip() if in_bytes else unit.replace("_", " ")
        yield " ".join([done, *(f"of {one}" for one in total), name]).strip()


def show_one(operation: str, /, *, output: Output = PLAIN) -> None:
    """An operation, and how far it is.

    Examples:

    headrace operation show 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f
    """
    from shared.client.cli.api import Api
    from shared.client.paths import OPERATIONS

    with Api() as api:
        found = api.get(f"{OPERATIONS}/{operation}")
    _show(found, output)


def wait(operation: str, /, *, output: Output = PLAIN) -> None:
    """Wait until an operation has ended. Exit code 1 if it failed or was cancelled.

    Examples:

    headrace operation wait 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f
    """
    import msgspec

    from shared.client.cli.api import Api
    from shared.client.cli.progress_bars import by_steps
    from shared.client.errors import FailedError

    with Api() as api, by_steps("waiting", quiet=output.json) as note:
        for found in api.each(api.client.operations.follow(operation)):
            plain = msgspec.to_builtins(found)
            note(", ".join([found.metadata.step, *amounts(plain["metadata"].get("progress", {}))]))
    _show(plain, output)
    if found.error is not None:
        raise FailedError(f"{found.name} {found.metadata.state}: {found.error.message}")


def cancel(operation: str, /, *, output: Output = PLAIN) -> None:
    """Cancel an operation; what it did is undone. Refused where it cannot be undone any more.

    Examples:

    headrace operation cancel 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f
    """
    from shared.client.cli.api import Api
    from shared.client.paths import OPERATIONS

    with Api() as api:
        found = api.post(f"{OPERATIONS}/{operation}/cancel")
    _show(found, output)


def _show(operation: dict[str, Any], output: Output) -> None:
    from shared.client.cli import show

    if output.json:
        show.document(operation)
    else:
        about = operation["metadata"]
        facts = dict(zip(HEADS, row(operation), strict=True)) | {
            "begun": about["created_at"],
            "ended": about.get("ended_at"),
            "can be cancelled": "yes" if about.get("cancellable") else None,
        }
        show.facts(facts.items())
