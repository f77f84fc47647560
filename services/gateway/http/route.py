"""A route is a row of data: where it is, what it needs and reads, and the function behind it.

What a route reads is one Struct, its `message`: the named segments of the address are fields of it, and so is what the query or
the JSON body says. The OpenAPI document is made from the same Struct. Most routes are one request to a service: `rpc` makes
those from the service's endpoint.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec.structs import force_setattr

from services.gateway.http.asgi import Response
from services.gateway.http.fields import ReadQuery, convert, forms, part
from services.gateway.http.reply import Reply
from services.gateway.http.request import Request
from shared.contracts.endpoint import Endpoint
from shared.service.middleware.permission import NAMED_BY
from shared.service.policy import NO_THING

Handler = Callable[[Request, Any], Awaitable[Response]]
"""Gets the request and its message."""

_NAMED = re.compile(r"{(\w+)}")


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The message of a route that reads nothing."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One method at one address.

    method    in capitals
    path      with the names of its segments in braces, each a field of `message`
    needs     a permission (`shared/contracts/permissions.py`), or None where no token is asked for
    handler   gets the request and the message
    message   the Struct of all that is read; what the address does not give comes from the query of a GET and from
              the JSON body of any other method
    stream    what the body holds where the handler reads it by itself: its type, or `bytes`. The rest of the message then
              comes from the query
    reply     the Struct of the answer, for the OpenAPI document
    takes     the media types of the body
    gives     the media type of the answer
    asks      names of the endpoints that the message is passed on to
    action    `<noun>.<verb>`, what the policy calls it; that of the first of `asks`, if it is not given

    parameters   the names of the address's segments
    segments     the Struct of what the address gives
    rest         the Struct of what it does not give
    """

    method: str
    path: str
    needs: str | None
    handler: Handler
    summary: str
    message: Any = Nothing
    stream: Any = None
    reply: Any = None
    status: int = 200
    takes: tuple[str, ...] = ("application/json",)
    gives: str = "application/json"
    asks: tuple[str, ...] = ()
    action: str = ""

    # Follow from the others; worked out once.
    parameters: tuple[str, ...] = ()
    segments: Any = None
    rest: Any = None

    def __post_init__(self) -> None:
        names = tuple(_NAMED.findall(self.path))
        unread = [name for name in names if name not in forms(self.message)]
        assert not unread, f"{self.method} {self.path}: {unread} are no fields of {self.message.__name__}"
        if not self.action and self.asks:
            force_setattr(self, "action", self.asks[0].partition(".")[2])
        assert self.action or self.needs is None, f"{self.method} {self.path}: what the policy calls it is not stated"
        force_setattr(self, "parameters", names)
        force_setattr(self, "segments", part(self.message, frozenset(names), inside=True))
        force_setattr(self, "rest", part(self.message, frozenset(names), inside=False))

    @property
    def has_query(self) -> bool:
        """Whether the rest comes from the query, not from the body."""
        return self.method == "GET" or self.stream is not None

    @property
    def query(self) -> Any:
        """The Struct of the query; None if it has no fields."""
        return self.rest if self.has_query and self.rest.__struct_fields__ else None

    @property
    def body(self) -> Any:
        """The type of the body; None if there is none."""
        return self.stream or (self.rest if not self.has_query and self.rest.__struct_fields__ else None)

    def resource(self, values: list[str]) -> str:
        """`<kind>/<id>` of what the address names; empty if it names nothing. `values`: of its named segments."""
        if not values:
            return NO_THING
        name = self.parameters[0]
        return f"{NAMED_BY.get(name, self.action.partition('.')[0] if name == 'name' else name)}/{values[0]}"

    async def read(self, request: Request, values: list[str], read_query: ReadQuery) -> Any:
        """The message. `values`: of the named segments, in their order. Invalid, with the field, if it is not what it should be."""
        if self.message is Nothing:
            return Nothing()
        given = dict(zip(self.parameters, values, strict=True))
        if self.has_query:
            return convert(read_query(request.scope["query_string"], self.message) | given, self.message)
        body = await request.json(self.rest)
        if not given:
            return body
        found = convert(given, self.segments)
        return self.message(**msgspec.structs.asdict(found), **msgspec.structs.asdict(body))


def rpc(
    method: str, path: str, endpoint: Endpoint[Any, Any], *, status: int = 200, timeout: float | None = None
) -> Route:
    """A route that is one request to a service, whose answer is passed on as it is.

    timeout   seconds; 10 for a GET and 30 for what changes something, if none are given
    """
    seconds = timeout or (10 if method == "GET" else 30)

    async def handle(request: Request, message: Any) -> Response:
        return Reply(await request.ask_raw(endpoint, message, timeout=seconds), status)

    return Route(
        method=method,
        path=path,
        needs=endpoint.needs,
        handler=handle,
        summary=endpoint.summary,
        message=endpoint.request,
        reply=endpoint.reply,
        status=status,
        asks=(endpoint.name,),
    )
