"""The audit log: who did what, and who was refused."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from shared.client.cli.options import FIRST, PLAIN, Output, Paging, add

if TYPE_CHECKING:
    from shared.client.cli.api import Api

HEADS = ("id", "at", "user", "via", "from", "action", "thing", "answer", "trace")


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    add(app, audit)


def audit(
    *,
    user: Annotated[str | None, Parameter(help="Only what this user did.")] = None,
    action: Annotated[str | None, Parameter(help="Only this action, such as session.create.")] = None,
    thing: Annotated[str | None, Parameter(help="Only what was done to this thing, such as session/<id>.")] = None,
    refused: Annotated[bool, Parameter(negative="", show_default=False, help="Only what was refused.")] = False,
    since: Annotated[str | None, Parameter(help="From this moment on, such as 2026-12-01T00:00:00Z.")] = None,
    until: Annotated[str | None, Parameter(help="Before this moment.")] = None,
    export: Annotated[
        bool, Parameter(negative="", show_default=False, help="All of it, a line of JSON an entry.")
    ] = False,
    verify: Annotated[
        bool, Parameter(negative="", show_default=False, help="Check that nothing was changed or taken out.")
    ] = False,
    paging: Paging = FIRST,
    output: Output = PLAIN,
) -> None:
    """Who did what to which thing, newest first. With --verify: exit code 1 if the log is not as it was written.

    Examples:

    headrace audit --user ada --refused

    headrace audit --since 2026-12-01T00:00:00Z --export > audit.ndjson

    headrace audit --verify
    """
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.paths import OPS

    query = {"user": user, "action": action, "thing": thing, "since": since, "until": until}
    query["allowed"] = "false" if refused else None
    with Api() as api:
        if verify:
            _verify(api, output)
            return
        token, size = paging.token, 1000 if export else paging.size
        while True:
            page = api.get(f"{OPS}/audit", **query, size=size, token=token)
            if not export:
                break
            for entry in page["items"]:
                show.line(entry)
            if not (token := page["next"]):
                return
    if output.json:
        show.document(page)
        return
    rows = (
        (
            one["id"], show.when(one["at"]), one["user"] or "nobody", one["via"], one["client"] or "bus", one["action"],
            one["thing"], one["status"] if one["allowed"] else f"{one['status']} refused", one["trace"],
        )
        for one in page["items"]
    )  # fmt: skip
    show.table("Audit log", HEADS, rows)
    show.more(page)


def _verify(api: "Api", output: Output) -> None:
    from shared.client.cli import show
    from shared.client.errors import FailedError
    from shared.client.paths import OPS

    checked, after, before = 0, 0, ""
    while True:
        found = api.get(f"{OPS}/audit/verify", after=after or None, hash=before)
        checked, after, before = checked + found["checked"], found["last"], found["hash"]
        if found["bad"] or not found["more"]:
            break
    if output.json:
        show.document(found | {"checked": checked})
    else:
        show.facts([("entries", checked), ("last", after), ("hash", before)])
    if found["bad"]:
        raise FailedError(f"entry {found['bad']} is not as it was written, or missing")
