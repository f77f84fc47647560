"""The states of the compute entities, as users see them and as the rows store them.

The numbers are written to disk: never renumber. The legal transitions are in services/scheduler/machine/.
"""

from enum import IntEnum


class SessionStatus(IntEnum):
    """The states of a session."""

    RUNNING = 1
    PAUSED = 2
    CLOSED = 3
    CANCELLED = 4
    PURGED = 5
    DELETED = 6


class ResultStatus(IntEnum):
    """The states of a result."""

    CREATED = 1
    COMPLETED = 2
    ABORTED = 3
    DELETED = 4


class TaskStatus(IntEnum):
    """The states of a task's attempt."""

    CREATING = 1  # its submission is not complete
    PENDING = 2  # waits for dependencies, or is ready and waits for its turn
    SUBMITTED = 3  # chosen for the queue
    DISPATCHED = 4  # a worker holds it
    PROCESSING = 5  # its code runs
    COMPLETED = 6
    ERROR = 7
    TIMEOUT = 8
    RETRIED = 9
    PAUSED = 10
    CANCELLING = 11
    CANCELLED = 12


class SubmissionStatus(IntEnum):
    """The states of a submission."""

    OPEN = 1  # chunks arrive
    VISIBLE = 2  # its tasks count
    REFUSED = 3


TASK_ENDS = frozenset(
    {TaskStatus.COMPLETED, TaskStatus.ERROR, TaskStatus.TIMEOUT, TaskStatus.RETRIED, TaskStatus.CANCELLED}
)
"""States in which an attempt stays for good."""


def name_of(status: IntEnum) -> str:
    """How a state is written on the wire: its name in lower case."""
    return status.name.lower()
