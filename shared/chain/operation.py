"""A chain as its owner sees it: an operation (shared/contracts/operations.py)."""

from typing import Any, Final

import msgspec

from shared.chain.declare import Chain
from shared.chain.machine import LIVE, ChainStatus, Fault
from shared.chain.store import Row
from shared.contracts.errors import ErrorBody
from shared.contracts.operations import Amount, Operation, OperationMetadata, OperationState, operation_name
from shared.runtime.clock import rfc3339

_ENDS: Final[dict[ChainStatus, OperationState]] = {
    ChainStatus.DONE: "succeeded",
    ChainStatus.FAILED: "failed",
    ChainStatus.CANCELLED: "cancelled",
}
_CODES: Final = {Fault.USER: "failed_precondition", Fault.SYSTEM: "internal", Fault.CANCELLED: "cancelled"}
_progress = msgspec.json.Decoder(dict[str, Amount]).decode


def operation_of(chain: Chain[Any] | None, row: Row) -> Operation:
    """The operation that a chain's row is. `chain`: its declaration, None if this service does not know it (any more)."""
    assert row.operation is not None
    here, done = row.position, row.position.status not in LIVE
    metadata = OperationMetadata(
        row.operation.kind,
        row.operation.target,
        row.operation.owner,
        state_of(row),
        row.step_name,
        rfc3339(row.created_at),
        rfc3339(row.updated_at),
        row.revision,
        None if row.ended_at is None else rfc3339(row.ended_at),
        "" if done else here.error,
        _progress(row.progress),
        is_cancellable(chain, row),
    )
    error = ErrorBody(_CODES[here.fault], here.error) if done and here.fault else None
    result = msgspec.json.decode(row.result or b"{}") if here.status is ChainStatus.DONE else None
    return Operation(operation_name(row.id), metadata, done, error, result)


def state_of(row: Row) -> OperationState:
    """How the operation goes."""
    here = row.position
    if here.status in _ENDS:
        return _ENDS[here.status]
    if here.cancelling or here.fault is Fault.CANCELLED:
        return "cancelling"
    return "running" if here.status is ChainStatus.RUNNING else "failing"


def is_cancellable(chain: Chain[Any] | None, row: Row) -> bool:
    """Whether a cancel would be accepted now."""
    here = row.position
    running = here.status is ChainStatus.RUNNING and not here.cancelling
    return running and chain is not None and chain.is_cancellable(here.step)
