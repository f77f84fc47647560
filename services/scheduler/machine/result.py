"""The states of a result. docs/states/result.md is drawn from this."""

from shared.contracts.states import ResultStatus as R
from shared.runtime.machine import Machine

RESULT = Machine(
    "result",
    R.CREATED,
    {
        "complete": (frozenset({R.CREATED}), R.COMPLETED),
        "abort": (frozenset({R.CREATED}), R.ABORTED),
        "expect": (frozenset({R.ABORTED}), R.CREATED),  # its task is run again
        "delete": (frozenset({R.CREATED, R.COMPLETED, R.ABORTED}), R.DELETED),
    },
    kind=R,
    sets={
        "usable": frozenset({R.CREATED, R.COMPLETED}),  # who needs it has its value, or may still get it
        "lost": frozenset({R.ABORTED, R.DELETED}),  # who needs it waits in vain
    },
)
