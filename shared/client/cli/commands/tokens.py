"""Tokens: everybody looks after their own."""

from typing import Annotated, Any

from cyclopts import App, Parameter

from shared.client.cli.identity import segment, send, show_done, show_page, show_token
from shared.client.cli.options import FIRST, PLAIN, Output, Paging, add
from shared.client.errors import UsageError

TOKENS = ("token", "user", "label", "scope", "expires", "created")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

Scope = Annotated[
    tuple[str, ...],
    Parameter(name="--scope", negative="", help="A permission that it is limited to; may stand several times."),
]
Expires = Annotated[
    str | None, Parameter(help="How long it is valid: 90m, 12h, 30d; as long as this one's if not given.")
]


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    tokens = App(name="tokens", help="Tokens: your own.", help_epilogue="Examples:\n\nheadrace tokens list")
    add(tokens, list_tokens, name="list")
    add(tokens, create_token, name="create")
    add(tokens, revoke)
    app.command(tokens)


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
    show_page("tokens", TOKENS, _row, paging, output, user=user, all="true" if everybody else None)


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
    show_token(send("POST", "tokens", {name: value for name, value in body.items() if value is not None}), output)


def revoke(token: str, /, *, output: Output = PLAIN) -> None:
    """Revoke a token by its id, at once.

    Examples:

    headrace tokens revoke 019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f
    """
    send("DELETE", f"tokens/{segment(token)}")
    show_done(output, revoked=token)


def _row(one: dict[str, Any]) -> tuple[object, ...]:
    from shared.client.cli import show

    scope = "all of the user's" if one["scope"] is None else one["scope"]
    return (one["id"], one["user"], one["label"], scope, show.when(one["expires_at"]), show.when(one["created_at"]))


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    if text[-1:] not in _UNITS or not text[:-1].isdecimal():
        raise UsageError(f"--expires {text}: give a number and s, m, h or d, such as 12h")
    return int(text[:-1]) * _UNITS[text[-1]]
