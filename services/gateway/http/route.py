"""A route is a row of data: where it is, which permission it needs, what it takes and gives, and the function behind it.

Litestar does the routing; reading and checking is msgspec alone (`call`), and the OpenAPI document is made from the same
rows. Most routes are one typed request to a service: `rpc` makes those from the request's Struct.
"""

import re
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import msgspec
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from services.gateway.edge import Edge
from services.gateway.http.access import note_caller
from services.gateway.http.reply import Reply
from services.gateway.http.request import Call, ClientGoneError
from services.gateway.identity.auth import Identity
from shared.contracts import headers as h

Handler = Callable[[Call], Awaitable[ASGIApp]]

_PARAMETER = re.compile(r"{(\w+)}")


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """`needs`: a permission, or None where no token is asked for. `body`, `query`, `reply`: Structs, for the document.

    `takes`, `gives`: what the body's and the reply's types are where they are not JSON. `asks`: the endpoints that it passes
    its request on to, as `<service>.<noun>.<verb>`.
    """

    method: str
    path: str
    needs: str | None
    handler: Handler
    summary: str
    query: Any = None
    body: Any = None
    reply: Any = None
    status: int = 200
    takes: tuple[str, ...] = ("application/json",)
    gives: str = "application/json"
    asks: tuple[str, ...] = ()

    @property
    def parameters(self) -> list[str]:
        """The names in the path."""
        return _PARAMETER.findall(self.path)


def rpc(
    method: str,
    path: str,
    needs: str,
    action: str,
    request: Any,
    reply: Any,
    summary: str,
    *,
    status: int = 200,
    service: str = "scheduler",
    timeout: float = 30,
) -> Route:
    """A route that is one request to a service: the path's and the query's or body's fields are the request's.

    `timeout`: seconds that a change may take.
    """
    fixed = _PARAMETER.findall(path)
    kinds = {field.name: field.type for field in msgspec.structs.fields(request)}
    if method == "GET":
        rest, query = None, without(request, *fixed)

        async def handle(call: Call) -> ASGIApp:
            asked = call.asked(request)
            return Reply(bytes(await call.ask(service, action, asked, msgspec.Raw, timeout=10)), status)

    else:
        rest, query = without(request, *fixed), None

        async def handle(call: Call) -> ASGIApp:
            body = await call.json(rest)
            names = {name: call.segment(name, kinds[name]) for name in fixed}
            message = request(**names, **{name: getattr(body, name) for name in rest.__struct_fields__})
            return await passed_on(call, action, message, status, service, timeout)

    return Route(
        method=method,
        path=path,
        needs=needs,
        handler=handle,
        summary=summary,
        query=_unless_empty(query),
        body=_unless_empty(rest),
        reply=reply,
        status=status,
        asks=(f"{service}.{action}",),
    )


def _unless_empty(kind: Any) -> Any:
    return kind if kind is not None and kind.__struct_fields__ else None


async def passed_on(
    call: Call, action: str, message: Any, status: int, service: str = "scheduler", timeout: float = 30
) -> Reply:
    """A change asked of a service, once per idempotency key; its answer as it is."""
    headers = {h.IDEMPOTENCY_KEY: key} if (key := call.key) else None
    return Reply(bytes(await call.ask(service, action, message, msgspec.Raw, headers=headers, timeout=timeout)), status)


@cache
def without(kind: Any, *names: str) -> Any:
    """`kind` less the fields that the path gives, as strict about unknown ones as it."""
    if not names:
        return kind
    fields: list[Any] = [
        (f.name, f.type)
        if f.required
        else (
            f.name,
            f.type,
            f.default if f.default is not msgspec.NODEFAULT else msgspec.field(default_factory=f.default_factory),
        )
        for f in msgspec.structs.fields(kind)
        if f.name not in names
    ]
    made = msgspec.defstruct(f"{kind.__name__}Body", fields, frozen=True, kw_only=True, forbid_unknown_fields=True)
    made.__doc__ = kind.__doc__
    return made


def mount(route: Route, edge: Edge) -> HTTPRouteHandler:
    """The route as Litestar wants it."""

    async def handle(request: Request[Any, Any, Any]) -> ASGIApp:
        scope = request.scope
        caller: Identity | None = None
        call = Call(edge, scope, request.receive, None)
        if route.needs is not None:
            caller = call.caller = await edge.auth.admit(call.header(b"authorization"), route.needs)
            note_caller(scope, caller.user)
        try:
            return await route.handler(call)
        except ClientGoneError:
            return Reply(status=499)

    path = _PARAMETER.sub(r"{\1:str}", route.path)
    name = f"{route.method} {route.path}"
    return HTTPRouteHandler(path, http_method=route.method, name=name, status_code=200)(handle)  # type: ignore[arg-type]
