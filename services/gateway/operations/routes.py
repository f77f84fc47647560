"""`/operations/v1`: long work, whichever service does it (the shape of Google's AIP-151)."""

from typing import Final

from services.gateway.http.asgi import Response
from services.gateway.http.reply import Reply
from services.gateway.http.request import Request
from services.gateway.http.route import Route
from services.gateway.operations import of_services
from shared.contracts.endpoints.operations import OPERATION_CANCEL, OPERATION_GET, OPERATION_LIST, OPERATION_WAIT
from shared.contracts.operations import Operation, OperationList, OperationPage, OperationRef, OperationWait
from shared.contracts.permissions import COMPUTE_READ, COMPUTE_WRITE

ROOT: Final = "/operations/v1"
OPERATION: Final = f"{ROOT}/{{operation}}"


async def list_operations(request: Request, page: OperationList) -> Response:
    """A page of the operations that the caller may see."""
    return Reply(await of_services.page(request.edge.bus, request.context, page))


async def get_operation(request: Request, ref: OperationRef) -> Response:
    """How far an operation is."""
    return Reply(await of_services.get(request.edge.bus, request.context, ref))


async def wait_for_operation(request: Request, message: OperationWait) -> Response:
    """The operation when it has ended, or as it is when the time is over."""
    return Reply(await of_services.wait(request.edge.bus, request.context, message))


async def cancel_operation(request: Request, ref: OperationRef) -> Response:
    """The operation, which undoes what it did."""
    return Reply(await of_services.cancel(request.edge.bus, request.context, ref, request.key))


ROUTES: Final = [
    Route(
        method="GET",
        path=ROOT,
        needs=COMPUTE_READ,
        handler=list_operations,
        summary="Operations of all services, newest first.",
        message=OperationList,
        reply=OperationPage,
        asks=tuple(endpoint.name for endpoint in OPERATION_LIST.values()),
    ),
    Route(
        method="GET",
        path=OPERATION,
        needs=COMPUTE_READ,
        handler=get_operation,
        summary="How far an operation is.",
        message=OperationRef,
        reply=Operation,
        asks=tuple(endpoint.name for endpoint in OPERATION_GET.values()),
    ),
    Route(
        method="GET",
        path=f"{OPERATION}/wait",
        needs=COMPUTE_READ,
        handler=wait_for_operation,
        summary="Answers when an operation has ended, or when the time is over.",
        message=OperationWait,
        reply=Operation,
        asks=tuple(endpoint.name for endpoint in OPERATION_WAIT.values()),
    ),
    Route(
        method="POST",
        path=f"{OPERATION}/cancel",
        needs=COMPUTE_WRITE,
        handler=cancel_operation,
        summary="Cancels an operation, and undoes what it did; 409 where it cannot be cancelled.",
        message=OperationRef,
        reply=Operation,
        asks=tuple(endpoint.name for endpoint in OPERATION_CANCEL.values()),
    ),
]
