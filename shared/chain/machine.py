"""The states of a chain. The numbers are written to disk: never renumber."""

from enum import IntEnum

from shared.runtime.machine import Machine


class ChainStatus(IntEnum):
    """Where a chain is in its life."""

    RUNNING = 1
    UNDOING = 2  # it failed or was cancelled; what was done is being undone, then its handler runs
    DONE = 3
    FAILED = 4
    CANCELLED = 5


class Fault(IntEnum):
    """Why a chain did not get to its end."""

    NONE = 0
    USER = 1
    SYSTEM = 2
    CANCELLED = 3


LIVE = frozenset({ChainStatus.RUNNING, ChainStatus.UNDOING})

MACHINE = Machine(
    "chain",
    ChainStatus.RUNNING,
    {
        "finish": (frozenset({ChainStatus.RUNNING}), ChainStatus.DONE),
        "undo": (frozenset({ChainStatus.RUNNING}), ChainStatus.UNDOING),
        "fail": (LIVE, ChainStatus.FAILED),
        "cancel": (LIVE, ChainStatus.CANCELLED),
    },
    kind=ChainStatus,
)
