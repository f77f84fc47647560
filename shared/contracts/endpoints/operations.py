"""What is asked of each service that has operations: by its name, `OPERATION_GET["archiver"]`."""

from typing import Any, Final

from shared.contracts import operations as o
from shared.contracts.endpoint import Command, Endpoint, Query
from shared.contracts.permissions import COMPUTE_READ, COMPUTE_WRITE, DATA_READ, DATA_WRITE

_READ: Final = {"archiver": DATA_READ, "retriever": DATA_READ, "scheduler": COMPUTE_READ}
_WRITE: Final = {"archiver": DATA_WRITE, "retriever": DATA_WRITE, "scheduler": COMPUTE_WRITE}

OPERATION_GET: Final = {
    name: Query(name, "operation", "get", o.OperationRef, o.Operation, _READ[name], "How far an operation is.")
    for name in o.SERVICES
}
OPERATION_LIST: Final = {
    name: Query(name, "operation", "list", o.OperationList, o.OperationPage, _READ[name], "Operations, newest first.")
    for name in o.SERVICES
}
OPERATION_WAIT: Final = {
    name: Query(
        *(name, "operation", "wait", o.OperationWait, o.Operation, _READ[name]),
        "Answers when an operation has ended, or the time is over.",
    )
    for name in o.SERVICES
}
OPERATION_CANCEL: Final = {
    name: Command(
        *(name, "operation", "cancel", o.OperationRef, o.Operation, _WRITE[name]),
        "Cancels an operation, and undoes what it did; a conflict where it cannot be cancelled.",
    )
    for name in o.SERVICES
}
ALL: Final[tuple[Endpoint[Any, Any], ...]] = tuple(
    of_service
    for name in o.SERVICES
    for of_service in (OPERATION_GET[name], OPERATION_LIST[name], OPERATION_WAIT[name], OPERATION_CANCEL[name])
)
