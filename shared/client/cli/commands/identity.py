"""Users, groups and tokens: seen by operators, changed by an admin; everybody looks after their own tokens."""

import sys
from typing import Annotated, Any

from cyclopts import App, Parameter

from shared.client.cli.options import FIRST, PLAIN, Output, Paging, add
from shared.client.errors import UsageError

USERS = ("user", "roles", "groups", "password", "disabled", "created")
GROUPS = ("group", "members", "created")
TOKENS = ("token", "user", "label", "scope", "expires", "created")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

Roles = Annotated[
    tuple[str, ...], Parameter(name="--role", negative="", help="user, reader or operator; may stand several times.")
]
Password = Annotated[
    bool, Parameter(negative="", show_default=False, help="Reads a password from standard input, or asks for it.")
]
Scope = Annotated[
    tuple[str, ...],
    Parameter(name="--scope", negative="", help="A permission that it is limited to; may stand several times."),
]
Expires = Annotated[
    str | None, Parameter(help="How long it is valid: 90m, 12h, 30d; as long as this one's if not given.")
]


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    users = App(name="users", help="Users of the HTTP edge.", help_epilogue="Examples:\n\nheadrace users list")
    add(users, list_users, name="list")
    for command in (create, update, disable, enable):
        add(users, command)
    app.command(users)
    groups = App(name="groups", help="Groups of users.", help_epilogue="Examples:\n\nheadrace groups list")
    add(groups, list_groups, name="list")
    add(groups, create_group, name="create")
    add(groups, delete_group, name="delete")
    add(groups, add_member, name="add")
    add(groups, remove_member, name="remove")
    app.command(groups)
    tokens = App(name="tokens", help="Tokens: your own.", help_epilogue="Examples:\n\nheadrace tokens list")
    add(tokens, list_tokens, name="list")
    add(tokens, create_token, name="create")
    add(tokens, revoke)
    app.command(tokens)


# -- users


def list_users(*, paging: Paging = FIRST, output: Output = PLAIN) -> None:
    """The users, in the order of names.

    Examples:

    headrace users list

    headrace users list --json | jq '.items[] | select(.disabled_at).name'
    """
    _page("users", "Users", USERS, _user, paging, output)


def create(name: str, /, *, role: Roles = ("user",), password: Password = False, output: Output = PLAIN) -> None:
    """Make a user, and print a first token: it is shown this once only.

    Examples:

    headrace users create ada

    headrace users create otto --role operator --password < password.txt
    """
    body: dict[str, Any] = {"name": name, "roles": list(role)}
    if password:
        body["password"] = _password()
    _token(_send("POST", "users", body), output)


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


# -- groups


def list_groups(*, paging: Paging = FIRST, output: Output = PLAIN) -> None:
    """The groups, in the order of names.

    Examples:

    headrace groups list
    """
    _page("groups", "Groups", GROUPS, _group, paging, output)


def create_group(name: str, /) -> None:
    """Make a group.

    Examples:

    headrace groups create physics
    """
    _send("POST", "groups", {"name": name})


def delete_group(name: str, /) -> None:
    """Delete a group. Its members stay users, without what they had by it.

    Examples:

    headrace groups delete physics
    """
    _send("DELETE", f"groups/{_segment(name)}")


def add_member(group: str, user: str, /) -> None:
    """Put a user into a group.

    Examples:

    headrace groups add physics ada
    """
    _send("PUT", f"groups/{_segment(group)}/members/{_segment(user)}")


def remove_member(group: str, user: str, /) -> None:
    """Take a user out of a group.

    Examples:

    headrace groups remove physics ada
    """
    _send("DELETE", f"groups/{_segment(group)}/members/{_segment(user)}")


# -- tokens


def list_tokens(
    *,
    user: Annotated[str | None, Parameter(help="Of another user: for an admin.")] = None,
    everybody: Annotated[bool, Parameter(name="--all", negative="", help="Of all users: for an admin.")] = False,
    paging: Paging = FIRST,
    output: Output = PLAIN,
) -> None:
    """The valid tokens, newest first; never the tokens themselves.

    Examples:

    headrace tokens list

    headrace tokens list --user ada
    """
    _page("tokens", "Tokens", TOKENS, _token_row, paging, output, user=user, all="true" if everybody else None)


def create_token(
    *,
    label: Annotated[str, Parameter(help="What you call it.")] = "",
    scope: Scope = (),
    expires: Expires = None,
    user: Annotated[str | None, Parameter(help="Of another user: for an admin.")] = None,
    output: Output = PLAIN,
) -> None:
    """Make a further token, and print it: it is shown this once only.

    Examples:

    headrace tokens create --label laptop --expires 30d

    headrace tokens create --scope compute:read --scope data:read
    """
    body = {"label": label, "scope": list(scope) or None, "expires_seconds": _seconds(expires), "user": user}
    _token(_send("POST", "tokens", {name: value for name, value in body.items() if value is not None}), output)


def revoke(token: str, /) -> None:
    """Revoke a token by its id, at once.

    Examples:

    headrace tokens revoke 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f
    """
    _send("DELETE", f"tokens/{_segment(token)}")


# -- what they share


def _segment(text: str) -> str:
    from shared.client.paths import segment

    return segment(text)


def _send(method: str, place: str, body: Any = None) -> Any:
    from shared.client.cli.api import Api
    from shared.client.paths import OPS

    with Api() as api:
        reply = api.run(api.client.http.send(method, f"{OPS}/{place}", body=body))
    return reply.json() if reply.content else None


def _page(place: str, title: str, heads: Any, row: Any, paging: Paging, output: Output, **query: Any) -> None:
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.paths import OPS

    with Api() as api:
        page = api.get(f"{OPS}/{place}", size=paging.size, token=paging.token, **query)
    if output.json:
        show.document(page)
        return
    show.table(title, heads, (row(one) for one in page["items"]))
    show.more(page)


def _change(name: str, body: dict[str, Any], output: Output) -> None:
    from shared.client.cli import show

    reply = _send("PATCH", f"users/{_segment(name)}", body)
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


def _group(one: dict[str, Any]) -> tuple[object, ...]:
    from shared.client.cli import show

    return (one["name"], one["members"], show.when(one["created_at"]))


def _token_row(one: dict[str, Any]) -> tuple[object, ...]:
    from shared.client.cli import show

    scope = "all of the user's" if one["scope"] is None else one["scope"]
    return (one["id"], one["user"], one["label"], scope, show.when(one["expires_at"]), show.when(one["created_at"]))


def _token(made: dict[str, Any], output: Output) -> None:
    from shared.client.cli import show

    if output.json:
        show.document(made)
    else:
        show.facts(
            [("user", made["user"]), ("id", made["id"]), ("token", made["token"]), ("expires", made["expires_at"])]
        )


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    if text[-1:] not in _UNITS or not text[:-1].isdecimal():
        raise UsageError(f"--expires {text}: give a number and s, m, h or d, such as 12h")
    return int(text[:-1]) * _UNITS[text[-1]]


def _password() -> str:
    from getpass import getpass

    return getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
