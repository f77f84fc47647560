"""`/operations/v1`: long work of all services, in one list."""

from typing import Any, Final

from services.gateway.http.asgi import Response
from services.gateway.http.reply import Reply
from services.gateway.http.request import Request
from services.gateway.http.route import Route
from services.gateway.operations import of_services
from shared.contracts import operations as o
from shared.contracts.endpoint import Endpoint
from shared.contracts.endpoints.operations import OPERATION_CANCEL, OPERATION_GET, OPERATION_LIST, OPERATION_WAIT
from shared.contracts.permissions import DATA_READ, DATA_WRITE

ROOT: Final = "/operations/v1"
OPERATIONS: Final = f"{ROOT}/operations"
OPERATION: Final = f"{OPERATIONS}/{{operation}}"


async def page(request: Request, asked: o.OperationList) -> Response:
    """A page of the caller's operations, newest first; of everybody's for the admin."""
    return Reply(await of_services.page(request.edge.bus, request.context, asked))


async def show(request: Request, ref: o.OperationRef) -> Response:
    """One operation, of whichever service."""
    return Reply(await of_services.get(request.edge.bus, request.context, ref))


async def wait(request: Request, asked: o.OperationWait) -> Response:
    """The operation when it has ended, or as it is when the time is over."""
    return Reply(await of_services.wait(request.edge.bus, request.context, asked))


async def cancel(request: Request, ref: o.OperationRef) -> Response:
    """The operation, which is being cancelled; 409 if it cannot be."""
    return Reply(await of_services.cancel(request.edge.bus, request.context, ref, request.key))


def _route(
    method: str, path: str, needs: str, handler: Any, asks: dict[str, Endpoint[Any, Any]], message: Any, reply: Any
) -> Route:
    """`needs`: what users of this route have; each service asks for its own permission besides."""
    every = tuple(asks.values())
    names = tuple(endpoint.name for endpoint in every)
    return Route(
        method=method,
        path=path,
        needs=needs,
        handler=handler,
        summary=every[0].summary,
        message=message,
        reply=reply,
        asks=names,
    )


ROUTES: Final = [
    _route("GET", OPERATIONS, DATA_READ, page, dict(OPERATION_LIST), o.OperationList, o.OperationPage),
    _route("GET", OPERATION, DATA_READ, show, dict(OPERATION_GET), o.OperationRef, o.Operation),
    _route("GET", f"{OPERATION}/wait", DATA_READ, wait, dict(OPERATION_WAIT), o.OperationWait, o.Operation),
    _route("POST", f"{OPERATION}/cancel", DATA_WRITE, cancel, dict(OPERATION_CANCEL), o.OperationRef, o.Operation),
]
