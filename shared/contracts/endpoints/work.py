"""What workers ask of the scheduler. docs/worker-protocol.md explains it for others."""

from typing import Final

from shared.contracts import work as w
from shared.contracts.endpoint import Change, Query
from shared.contracts.permissions import WORK

SCHEDULER: Final = "scheduler"

TASK_CONFIRM: Final = Query(
    SCHEDULER,
    "task",
    "confirm",
    w.Confirm,
    w.Confirmed,
    WORK,
    "Which tasks of a message that was delivered before are still to be run.",
)
TASK_INPUTS: Final = Query(
    SCHEDULER,
    "task",
    "inputs",
    w.InputsOf,
    w.Inputs,
    WORK,
    "The inputs of a task whose message does not carry them, page by page.",
)
TASK_SPAWN: Final = Change(
    SCHEDULER, "task", "spawn", w.Spawn, w.Spawned, WORK,
    "Hands over the tasks and results that a task has created, before it is reported completed.",
)  # fmt: skip
