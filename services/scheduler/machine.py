"""The states of sessions, results and tasks, and what leads from one to another. docs/states/ is drawn from this."""

from shared.contracts.states import ResultStatus as R
from shared.contracts.states import SessionStatus as S
from shared.contracts.states import TaskStatus as T
from shared.runtime.machine import Machine

SESSION = Machine(
    "session",
    S.RUNNING,
    {
        "pause": (frozenset({S.RUNNING}), S.PAUSED),
        "resume": (frozenset({S.PAUSED, S.RUNNING}), S.RUNNING),
        "close": (frozenset({S.RUNNING, S.PAUSED}), S.CLOSED),
        "cancel": (frozenset({S.RUNNING, S.PAUSED, S.CLOSED}), S.CANCELLED),
        "reopen": (frozenset({S.CLOSED}), S.RUNNING),  # one that closed by itself, when a task of it is run again
        "purge": (frozenset({S.CLOSED, S.CANCELLED}), S.PURGED),
        "delete": (frozenset({S.RUNNING, S.PAUSED, S.CLOSED, S.CANCELLED, S.PURGED}), S.DELETED),
    },
    kind=S,
)

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
)

_QUEUED = frozenset({T.PENDING, T.SUBMITTED})
_HELD = frozenset({T.DISPATCHED, T.PROCESSING})
_OPEN = _QUEUED | _HELD | {T.PAUSED}

TASK = Machine(
    "task",
    T.CREATING,
    {
        "show": (frozenset({T.CREATING}), T.PENDING),
        "choose": (frozenset({T.PENDING}), T.SUBMITTED),
        "hold": (_QUEUED, T.DISPATCHED),
        "start": (_QUEUED | {T.DISPATCHED}, T.PROCESSING),
        "complete": (_OPEN, T.COMPLETED),
        "fail": (_OPEN | {T.CREATING}, T.ERROR),
        "time out": (_OPEN | {T.CREATING}, T.TIMEOUT),
        "retry": (_QUEUED | _HELD, T.PENDING),
        "preempt": (frozenset({T.PROCESSING}), T.PENDING),
        "give back": (_QUEUED | _HELD, T.PENDING),
        "take back": (frozenset({T.SUBMITTED, T.DISPATCHED}), T.PENDING),
        # In a paused session what is ready is PAUSED. Its row says PENDING: pausing takes back, resuming writes nothing.
        "pause": (_QUEUED | {T.DISPATCHED}, T.PAUSED),
        "resume": (frozenset({T.PAUSED}), T.PENDING),
        "cancel": (_QUEUED | {T.CREATING, T.PAUSED}, T.CANCELLED),
        "stop": (_HELD, T.CANCELLING),
        "stopped": (frozenset({T.CANCELLING}), T.CANCELLED),
        "rerun": (frozenset({T.ERROR, T.TIMEOUT, T.CANCELLED}), T.PENDING),
    },
    kind=T,
)

MACHINES = (SESSION, RESULT, TASK)
