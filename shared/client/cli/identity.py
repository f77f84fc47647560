"""What the commands of users, groups and tokens share: requests below `/ops/v1`, pages of it, a new token."""

from collections.abc import Callable
from typing import Any

from shared.client.cli.options import Output, Paging


def segment(text: str) -> str:
    """A name as one segment of an address."""
    from shared.client import paths

    return paths.segment(text)


def send(method: str, place: str, body: Any = None) -> Any:
    """The reply to a request, as plain JSON values; None if it has no body."""
    from shared.client.cli.api import Api
    from shared.client.paths import OPS

    with Api() as api:
        reply = api.run(api.client.http.send(method, f"{OPS}/{place}", body=body))
    return reply.json() if reply.content else None


def show_page(
    place: str,
    heads: tuple[str, ...],
    row: Callable[[dict[str, Any]], tuple[object, ...]],
    paging: Paging,
    output: Output,
    **query: Any,
) -> None:
    """Prints a page of a list. `row`: an entry as a row of the table."""
    from shared.client.cli import show
    from shared.client.cli.api import Api
    from shared.client.paths import OPS

    with Api() as api:
        page = api.get(f"{OPS}/{place}", size=paging.size, token=paging.token, **query)
    if output.json:
        show.document(page)
        return
    show.table(place.capitalize(), heads, (row(one) for one in page["items"]))
    show.more(page)


def show_done(output: Output, **done: str) -> None:
    """Prints what was done to what, as there is nothing else to show."""
    from shared.client.cli import show

    if output.json:
        show.document(done)
    else:
        show.facts(done.items())


def show_token(made: dict[str, Any], output: Output) -> None:
    """Prints a new token, which is shown this once only."""
    from shared.client.cli import show

    if output.json:
        show.document(made)
    else:
        show.facts(
            [("user", made["user"]), ("id", made["id"]), ("token", made["token"]), ("expires", made["expires_at"])]
        )
