"""Groups of users: seen by operators, changed by an admin."""

from typing import Any

from cyclopts import App

from shared.client.cli.identity import segment, send, show_done, show_page
from shared.client.cli.options import FIRST, PLAIN, Output, Paging, add

GROUPS = ("group", "members", "created")


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    groups = App(name="groups", help="Groups of users.", help_epilogue="Examples:\n\nheadrace groups list")
    add(groups, list_groups, name="list")
    add(groups, create_group, name="create")
    add(groups, delete_group, name="delete")
    add(groups, add_member, name="add")
    add(groups, remove_member, name="remove")
    app.command(groups)


def list_groups(*, paging: Paging = FIRST, output: Output = PLAIN) -> None:
    """The groups, in the order of names.

    Examples:

    headrace groups list
    """
    show_page("groups", GROUPS, _group, paging, output)


def create_group(name: str, /, *, output: Output = PLAIN) -> None:
    """Make a group.

    Examples:

    headrace groups create physics
    """
    send("POST", "groups", {"name": name})
    show_done(output, created=name)


def delete_group(name: str, /, *, output: Output = PLAIN) -> None:
    """Delete a group. Its members stay users, without what they had by it.

    Examples:

    headrace groups delete physics
    """
    send("DELETE", f"groups/{segment(name)}")
    show_done(output, deleted=name)


def add_member(group: str, user: str, /, *, output: Output = PLAIN) -> None:
    """Put a user into a group.

    Examples:

    headrace groups add physics ada
    """
    send("PUT", f"groups/{segment(group)}/members/{segment(user)}")
    show_done(output, group=group, added=user)


def remove_member(group: str, user: str, /, *, output: Output = PLAIN) -> None:
    """Take a user out of a group.

    Examples:

    headrace groups remove physics ada
    """
    send("DELETE", f"groups/{segment(group)}/members/{segment(user)}")
    show_done(output, group=group, removed=user)


def _group(one: dict[str, Any]) -> tuple[object, ...]:
    from shared.client.cli import show

    return (one["name"], one["members"], show.when(one["created_at"]))
