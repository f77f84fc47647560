"""Users of the HTTP edge: seen by operators, changed by an admin."""

import sys
from typing import Annotated, Any

from cyclopts import App, Parameter

from shared.client.cli.identity import segment, send, show_page, show_token
from shared.client.cli.options import FIRST, PLAIN, Output, Paging, add
from shared.client.errors import UsageError

USERS = ("user", "roles", "groups", "password", "disabled", "created")

Roles = Annotated[
    tuple[str, ...], Parameter(name="--role", negative="", help="user, reader or operator; may stand several times.")
]
Password = Annotated[
    bool, Parameter(negative="", show_default=False, help="Reads a password from standard input, or asks for it.")
]


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    users = App(name="users", help="Users of the HTTP edge.", help_epilogue="Examples:\n\nheadrace users list")
    add(users, list_users, name="list")
    for command in (create, update, disable, enable):
        add(users, command)
    app.command(users)


def list_users(*, paging: Paging = FIRST, output: Output = PLAIN) -> None:
    """The users, in the order of names.

    Examples:

    headrace users list

    headrace users list --json | jq '.items[] | select(.disabled_at).name'
    """
    show_page("users", USERS, _user, paging, output)


def create(name: str, /, *, role: Roles = ("user",), password: Password = False, output: Output = PLAIN) -> None:
    """Make a user, and print a first token: it is shown this once only.

    Examples:

    headrace users create ada

    headrace users create otto --role operator --password < password.txt
    """
    body: dict[str, Any] = {"name": name, "roles": list(role)}
    if password:
        body["password"] = _password()
    show_token(send("POST", "users", body), output)


def update(name: str, /, *, role: Roles = (), password: Password = False, output: Output = PLAIN) -> None:
    """Change a user's roles or password. Takes effect at once.

    Examples:

    headrace users update ada --role reader

    headrace users update ada --password
    """
    body: dict[str, Any] = {"roles": list(role)} if role else {}
    if password:
        body["password"] = _password()
    if not body:
        raise UsageError("nothing to change: give --role or --password")
    _change(name, body, output)


def disable(name: str, /, *, output: Output = PLAIN) -> None:
    """Shut a user out: no token of theirs is valid any more, at once. What they own stays.

    Examples:

    headrace users disable ada
    """
    _change(name, {"disabled": True}, output)


def enable(name: str, /, *, output: Output = PLAIN) -> None:
    """Let a user in again, with the tokens that they had.

    Examples:

    headrace users enable ada
    """
    _change(name, {"disabled": False}, output)


def _change(name: str, body: dict[str, Any], output: Output) -> None:
    from shared.client.cli import show

    reply = send("PATCH", f"users/{segment(name)}", body)
    if output.json:
        show.document(reply)
    else:
        show.facts(zip(USERS, _user(reply), strict=True))


def _user(one: dict[str, Any]) -> tuple[object, ...]:
    from shared.client.cli import show

    password = "yes" if one["has_password"] else "no"
    return (
        one["name"],
        one["roles"],
        one["groups"],
        password,
        show.when(one["disabled_at"]),
        show.when(one["created_at"]),
    )


def _password() -> str:
    from getpass import getpass

    return getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
