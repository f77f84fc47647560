"""A domain: a part of the edge with its own routes, its own form of errors, and its own way to read queries."""

from collections.abc import Callable
from typing import Any

import msgspec

from services.gateway.http.asgi import Response
from services.gateway.http.errors import problem_reply
from services.gateway.http.fields import ReadQuery, read_query
from services.gateway.http.route import Route
from shared.contracts.errors import HeadraceError

ErrorForm = Callable[[HeadraceError, str], Response]
"""The answer to an error. The second argument is the id of the request's trace."""


class Domain(msgspec.Struct, frozen=True, kw_only=True):
    """What is served under one prefix.

    prefix          the beginning of all its addresses; empty for what no other domain has
    errors          how an error is answered, also at an address that the domain does not have
    read_query      from the bytes of a query and the Struct that they are for: its fields
    encoded_slash   whether `%2F` is a slash inside of a segment
    """

    prefix: str
    routes: list[Route]
    errors: ErrorForm = problem_reply
    read_query: ReadQuery = read_query
    encoded_slash: bool = False

    def __post_init__(self) -> None:
        stray: list[Any] = [route.path for route in self.routes if not route.path.startswith(self.prefix)]
        assert not stray, f"{stray} are not under {self.prefix}"
