"""The states of a task. docs/states/task.md is drawn from this."""

from shared.contracts.states import TASK_ENDS
from shared.contracts.states import TaskStatus as T
from shared.runtime.machine import Machine

QUEUED = frozenset({T.PENDING, T.SUBMITTED})
HELD = frozenset({T.DISPATCHED, T.PROCESSING})
ACTIVE = QUEUED | HELD
OPEN = ACTIVE | {T.PAUSED}
FAILABLE = OPEN | {T.CREATING}
STARTABLE = QUEUED | {T.DISPATCHED}
RERUNNABLE = frozenset({T.ERROR, T.TIMEOUT, T.CANCELLED})

TASK = Machine(
    "task",
    T.CREATING,
    {
        "show": (frozenset({T.CREATING}), T.PENDING),
        "choose": (frozenset({T.PENDING}), T.SUBMITTED),
        "hold": (QUEUED, T.DISPATCHED),
        "start": (STARTABLE, T.PROCESSING),
        "complete": (OPEN, T.COMPLETED),
        "fail": (FAILABLE, T.ERROR),
        "time out": (FAILABLE, T.TIMEOUT),
        "retry": (ACTIVE, T.PENDING),
        "preempt": (frozenset({T.PROCESSING}), T.PENDING),
        "give back": (ACTIVE, T.PENDING),
        "take back": (frozenset({T.SUBMITTED, T.DISPATCHED}), T.PENDING),
        "pause": (STARTABLE, T.PAUSED),
        "resume": (frozenset({T.PAUSED}), T.PENDING),
        "cancel": (QUEUED | {T.CREATING, T.PAUSED}, T.CANCELLED),
        "stop": (HELD, T.CANCELLING),
        "stopped": (frozenset({T.CANCELLING}), T.CANCELLED),
        "rerun": (RERUNNABLE, T.PENDING),
    },
    kind=T,
    sets={
        "queued": QUEUED,  # waits for its turn, or for a worker
        "startable": STARTABLE,  # its code has not begun
        "held": HELD,  # with a worker, who has not been asked to stop
        "active": ACTIVE,  # an attempt that can be lost, and tried again
        "open": OPEN,  # may still complete
        "failable": FAILABLE,  # may still end without its outputs
        "waiting": frozenset({T.CREATING, T.PENDING}),  # may wait for results
        "executing": frozenset({T.PROCESSING, T.CANCELLING}),  # its code runs, as far as is known
        "on_worker": HELD | {T.CANCELLING},
        "outstanding": HELD | {T.SUBMITTED, T.CANCELLING},  # counts against its partition's window
        "rerunnable": RERUNNABLE,  # ended badly: somebody may ask for another attempt
        "unended": frozenset(T) - TASK_ENDS,
    },
    derived={
        T.PAUSED: "what is ready in a paused session is PENDING in its row and PAUSED for users (ADR 17)",
        T.RETRIED: "what an earlier attempt is in the history of attempts, while the row goes on with the next one",
    },
)
