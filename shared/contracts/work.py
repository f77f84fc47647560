"""Between scheduler and workers: tasks, reports, heartbeats. Version 4. docs/worker-protocol.md explains it for others.

`hr.task.<partition>.<band>.<session>` carries TaskBatch, `hr.report.<partition>` carries ReportBatch,
`hr.beat.worker.<worker>` is a request with Beat and the reply BeatReply. A worker acknowledges a TaskBatch when every task
in it has been reported as started or ended and the bus has stored that report, or when it dropped it as a copy.

Two questions are request-reply: `hr.rpc.scheduler.task.confirm` (Confirm → Confirmed) before a task runs whose message is
marked as redelivered, and `hr.rpc.scheduler.task.inputs` (InputsOf → Inputs) where a batch does not carry the inputs. So is
`hr.rpc.scheduler.task.spawn` (Spawn → Spawned), by which a task hands over what it has created before it is reported completed.
"""

from typing import Annotated, Final
from uuid import UUID

import msgspec

from shared.contracts import ids
from shared.contracts.compute import Application, NewResult, PartitionName, Sha256, TaskSpec, Value

VERSION: Final = 4
MOST_HELD: Final = 10_000
"""Tasks that a heartbeat names at most."""

AttemptNumber = Annotated[int, msgspec.Meta(ge=0, le=32_767)]
Line = Annotated[int, msgspec.Meta(ge=0, le=ids.MAX_TASKS)]
"""The number of a line, a part, an input: counted from 0."""
LOG_KEPT: Final = 256 * 1024
"""Bytes (as UTF-8) that are kept of what one attempt prints."""
LOG_CHUNK: Final = 16 * 1024
"""Bytes of it in one report."""

WorkerName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,128}$(?!\n)")]
"""One token of a subject."""


class Work(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt at a task.

    payload        what the function gets: JSON text; or
    payload_value  the value of the result that is its payload
    inputs         the values of its inputs in order; None: too many or too large to ride along, ask `task.inputs`
    outputs        the ids of the results it must produce, in order
    max_duration   seconds its code may run; 0: no limit
    application    the application that it belongs to, if its options name one
    """

    id: UUID
    function: str
    outputs: list[UUID]
    attempt: int = 0
    payload: msgspec.Raw = msgspec.Raw(b"null")
    payload_value: Value | None = None
    inputs: list[Value] | None = []
    max_duration: float = 0
    application: Application | None = None


class TaskBatch(msgspec.Struct, frozen=True):
    """Tasks of one session for one worker. `epoch` grows when the session's queue is rebuilt."""

    session: UUID
    epoch: int
    tasks: list[Work]
    v: int = VERSION


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The task has run for 100 ms and goes on; from here on the heartbeat holds it, not the queue."""

    task: UUID
    attempt: int
    worker: WorkerName


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """`fraction` from 0 to 1. Passed on as an event, never stored."""

    task: UUID
    attempt: int
    fraction: float
    message: str = ""


class Logged(msgspec.Struct, frozen=True, tag="logged"):
    """What the task's code printed. `start`: characters (code points) printed before. Reported before the task's end is."""

    task: UUID
    attempt: int
    start: int
    text: str


class Output(msgspec.Struct, frozen=True, omit_defaults=True):
    """A result's value: `data` of at most 16 KiB, or the key of an `object` stored for it. `size` in bytes.

    `sha256`: of an object, in hex; it is kept with the result, and need not be given.
    """

    id: UUID
    size: int
    data: bytes | None = None
    object: str | None = None
    sha256: Sha256 | None = None


class Completed(msgspec.Struct, frozen=True, tag="completed", omit_defaults=True):
    """The task's code returned; `outputs` has a value for each of its results. `seconds`: how long the code ran.

    `submission`: what it created, handed over as a whole by `Spawn`: becomes real with this. Then `outputs` has no value for
    those that were delegated.
    """

    task: UUID
    attempt: int
    outputs: list[Output]
    seconds: float = 0
    submission: UUID | None = None


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """`kind`: `error` (its own code raised: final), `timeout` (max_duration passed: final), `lost` (infrastructure: retried),
    `cancelled` (its code was stopped because the scheduler asked for it; counts for a CANCELLING task only), `returned` (this worker
    cannot run it, or keep what it made: it waits for its turn again, and no retry is used up)."""

    task: UUID
    attempt: int
    kind: str
    message: str


Report = Started | Progress | Logged | Completed | Failed


class ReportBatch(msgspec.Struct, frozen=True):
    """What a worker has to say since its last report, of any number of sessions, in order."""

    worker: WorkerName
    reports: list[Report]
    v: int = VERSION


class Beat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`slots`: tasks it can run at once. `holds`: `[task, attempt]` of those that run, and of those that wait at the worker.

    partition    the first of those whose tasks it takes
    partitions   all of them, the first included, in any order; empty: only `partition`
    unwell       why it can run nothing, or less than its slots, at the moment; empty: it can
    """

    worker: WorkerName
    partition: PartitionName
    slots: int
    functions: list[str]
    holds: list[tuple[UUID, int]]
    partitions: list[PartitionName] = []
    unwell: str = ""
    v: int = VERSION

    @property
    def serves(self) -> list[str]:
        """The names of its partitions, each once; at least one."""
        return list(dict.fromkeys([self.partition, *self.partitions]))


class BeatReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """`stop`: those of the tasks held that must end, because they were cancelled or have a later attempt.

    every   seconds to the next heartbeat
    ranks   of the worker's partitions by name: it begins what waits of the lowest rank first; one that is not named has 0
    """

    stop: list[UUID]
    every: float
    ranks: dict[str, int] = {}


class Control(msgspec.Struct, frozen=True, omit_defaults=True):
    """To all workers, on `hr.ctl.session.<session>`: what has become of a session's tasks.

    event   `closed`, `paused`: what has not begun is let go. `cancelled`, `preempted`: what runs is stopped as well, within a
            second, and reported as failed, `cancelled`
    tasks   `[task, attempt]`: only these, and earlier attempts of them; None: all of the session
    epoch   with `tasks` None: it is about messages of this epoch or an earlier one (0: all), also those that still arrive
    """

    event: str
    tasks: list[tuple[UUID, int]] | None = None
    epoch: int = 0


class Confirm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """May `worker` run these? Asked before tasks whose message was delivered before."""

    worker: WorkerName
    tasks: list[tuple[UUID, AttemptNumber]]


class Confirmed(msgspec.Struct, frozen=True):
    """Those that it may run; the others are done, cancelled, or somebody else's."""

    run: list[UUID]


class InputsOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The inputs of a task from number `start` on, as many as fit in one message."""

    task: UUID
    start: Line = 0


class Inputs(msgspec.Struct, frozen=True):
    """`values` in order from `start` on. `more`: the number to ask for next; None at the end."""

    values: list[Value]
    more: int | None


class Spawn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of what a running task has created. Nobody sees it before the task's `Completed` names the submission.

    submission   chosen by the worker (see `ids.submission_id`), one for each time that a task's code runs
    number       parts are counted from 0 and sent one after the other; sending one again does nothing
    first        the line of the submission on which `tasks` begin
    last         nothing follows: the whole is checked
    results      results that it created, with `id`; before the tasks that name them
    tasks        as those of users. They may need the parent's own inputs, expected outputs and created results, and what earlier
                 lines produce; `outputs` as ids: expected outputs of the parent (it delegates them), or results that it created
    """

    task: UUID
    attempt: AttemptNumber
    submission: UUID
    number: Line = 0
    first: Line = 0
    last: bool = False
    results: list[NewResult] = []
    tasks: list[TaskSpec] = []


class Spawned(msgspec.Struct, frozen=True):
    """How many parts and tasks of the submission there are now."""

    parts: int
    tasks: int


EXEC: Final = "exec"
"""The function whose payload is a Command: a worker has it if it was started so."""


class Limits(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the operating system enforces (setrlimit); 0: no limit of ours.

    memory_bytes   address space of each process
    cpu_seconds    processor time of each process
    file_bytes     size of each file written
    processes      processes of the worker's user, all together; root is not held to it
    """

    memory_bytes: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    cpu_seconds: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 0
    file_bytes: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    processes: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 0


class Command(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The payload of `exec`: a command that is run in a fresh folder.

    command   the program and its arguments; no shell
    env       environment, besides the little that every command gets
    inputs    where the task's inputs lie, in their order: names of files in the folder; `-`: the standard input
    outputs   where its outputs are found afterwards, in their order; `-`: what it writes to its standard output
    """

    command: list[str]
    env: dict[str, str] = {}
    inputs: list[str] = []
    outputs: list[str] = []
    limits: Limits = Limits()
