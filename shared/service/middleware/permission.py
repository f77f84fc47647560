"""Asks whether the asker may do what the endpoint does: the same question for requests, for commands and at the HTTP edge."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from shared.contracts.endpoint import Endpoint
from shared.service.context import Context, Handler, Middleware
from shared.service.policy import NO_THING, Permissions, require

NAMED_BY: Final = {
    "task": "task",
    "result": "result",
    "submission": "submission",
    "retrieval": "retrieval",
    "operation": "operation",
    "job": "job",
    "offer": "offer",
    "session": "session",
    "pid": "dataset",
}
"""The field of a request that names the thing that it is about, and what kind of thing that is; the first that is there counts."""


def resource_of(endpoint: Endpoint[Any, Any], data: bytes) -> str:
    """`<kind>/<id>` of what a request is about; empty if it names nothing."""
    try:
        body = msgspec.json.decode(data) if data and endpoint.request is not bytes else {}
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return NO_THING  # the decoder behind this refuses it
    if not isinstance(body, dict):
        return NO_THING
    if endpoint.noun == "partition" and isinstance(body.get("name"), str):
        return f"partition/{body['name']}"
    for field, kind in NAMED_BY.items():
        if isinstance(body.get(field), str):
            return f"{kind}/{body[field]}"
    return NO_THING


def permission(endpoint: Endpoint[Any, Any], permissions: Callable[[], Permissions]) -> Middleware:
    """The handler, for those who may ask for it. `permissions`: who decides, looked up for each request."""
    action, needs = f"{endpoint.noun}.{endpoint.verb}", endpoint.needs

    def layer(handler: Handler) -> Handler:
        if needs is None:
            return handler

        async def permitted(ctx: Context, data: bytes) -> bytes:
            await require(permissions(), ctx, action, needs, lambda: resource_of(endpoint, data))
            return await handler(ctx, data)

        return permitted

    return layer
