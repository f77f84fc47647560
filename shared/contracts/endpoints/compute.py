"""What users ask of the scheduler: partitions, sessions, results, submissions and tasks."""

from typing import Final

from shared.contracts import compute as c
from shared.contracts.endpoint import Command, Query
from shared.contracts.paging import Page
from shared.contracts.permissions import COMPUTE_READ, COMPUTE_WRITE, OPS

SCHEDULER: Final = "scheduler"

PARTITION_CREATE: Final = Command(
    SCHEDULER, "partition", "create", c.PartitionCreate, c.Partition, OPS, "Makes a partition; only the admin may."
)
PARTITION_UPDATE: Final = Command(
    SCHEDULER,
    "partition",
    "update",
    c.PartitionUpdate,
    c.Partition,
    OPS,
    "Changes priority, reserve or max of a partition; only the admin may.",
)
PARTITION_DELETE: Final = Command(
    SCHEDULER,
    "partition",
    "delete",
    c.PartitionRef,
    c.Partition,
    OPS,
    "Deletes a partition that no session uses; only the admin may.",
)
PARTITION_GET: Final = Query(
    SCHEDULER, "partition", "get", c.PartitionRef, c.Partition, COMPUTE_READ, "A partition and its workers."
)
PARTITION_LIST: Final = Query(
    SCHEDULER, "partition", "list", Page, c.PartitionPage, COMPUTE_READ, "Partitions and their workers."
)

SESSION_CREATE: Final = Command(
    SCHEDULER, "session", "create", c.SessionCreate, c.Session, COMPUTE_WRITE, "Opens a session."
)
SESSION_GET: Final = Query(
    SCHEDULER, "session", "get", c.SessionGet, c.Session, COMPUTE_READ, "A session; its counts too, if asked for."
)
SESSION_LIST: Final = Query(
    SCHEDULER, "session", "list", c.SessionList, c.SessionPage, COMPUTE_READ, "Sessions, newest first."
)
SESSION_STATES: Final = Query(
    SCHEDULER,
    "session",
    "states",
    c.StatesQuery,
    c.States,
    COMPUTE_READ,
    "The states of a session's tasks and results, page by page.",
)
SESSION_PAUSE: Final = Command(
    SCHEDULER,
    "session",
    "pause",
    c.SessionRef,
    c.Session,
    COMPUTE_WRITE,
    "Pauses a session: what runs finishes, nothing else begins.",
)
SESSION_RESUME: Final = Command(
    SCHEDULER, "session", "resume", c.SessionRef, c.Session, COMPUTE_WRITE, "Lets a paused session go on."
)
SESSION_CLOSE: Final = Command(
    SCHEDULER,
    "session",
    "close",
    c.SessionRef,
    c.Session,
    COMPUTE_WRITE,
    "Closes a session: what does not run yet is cancelled.",
)
SESSION_CANCEL: Final = Command(
    SCHEDULER,
    "session",
    "cancel",
    c.SessionRef,
    c.Session,
    COMPUTE_WRITE,
    "Cancels a session: its tasks end, those that run are stopped, results without a value are aborted.",
)
SESSION_STOP: Final = Command(
    SCHEDULER,
    "session",
    "stop",
    c.SessionStop,
    c.Session,
    COMPUTE_WRITE,
    "Ends submission by clients, by workers, or both.",
)
SESSION_PURGE: Final = Command(
    SCHEDULER,
    "session",
    "purge",
    c.SessionRef,
    c.Session,
    COMPUTE_WRITE,
    "Deletes the values of a closed or cancelled session.",
)
SESSION_DELETE: Final = Command(
    SCHEDULER,
    "session",
    "delete",
    c.SessionRef,
    c.Session,
    COMPUTE_WRITE,
    "Cancels what is left of a session and deletes all of it.",
)

RESULT_CREATE: Final = Command(
    SCHEDULER,
    "result",
    "create",
    c.ResultCreate,
    c.ResultList,
    COMPUTE_WRITE,
    "Creates results, with small values or without.",
)
RESULT_COMPLETE: Final = Command(
    SCHEDULER, "result", "complete", c.ResultComplete, c.Result, COMPUTE_WRITE, "Gives a created result its value."
)
RESULT_ABORT: Final = Command(
    SCHEDULER,
    "result",
    "abort",
    c.ResultAbort,
    c.ResultList,
    COMPUTE_WRITE,
    "Gives up results that will have no value; what waits for them fails.",
)
RESULT_IMPORT: Final = Command(
    SCHEDULER,
    "result",
    "import",
    c.ResultImport,
    c.ResultList,
    COMPUTE_WRITE,
    "Completes results with objects that lie in the bucket already; they stay their owner's.",
)
RESULT_DELETE: Final = Command(
    SCHEDULER, "result", "delete", c.ResultDelete, c.ResultList, COMPUTE_WRITE, "Deletes the values of results."
)
RESULT_WAIT: Final = Query(
    SCHEDULER,
    "result",
    "wait",
    c.ResultWait,
    c.ResultWaited,
    COMPUTE_READ,
    "Waits until results have ended, all or any, for at most 30 s.",
)
RESULT_GET: Final = Query(
    SCHEDULER, "result", "get", c.ResultRef, c.Result, COMPUTE_READ, "A result, without its value."
)
RESULT_LIST: Final = Query(
    SCHEDULER, "result", "list", c.ResultQuery, c.ResultPage, COMPUTE_READ, "Results of a session."
)
RESULT_VALUE: Final = Query(
    SCHEDULER,
    "result",
    "value",
    c.ResultRef,
    c.Value,
    COMPUTE_READ,
    "A result's value if it is small, otherwise where its object is.",
)

SUBMISSION_CREATE: Final = Command(
    SCHEDULER,
    "submission",
    "create",
    c.SubmissionCreate,
    c.Submission,
    COMPUTE_WRITE,
    "Submits tasks, in one message.",
)
SUBMISSION_CHUNK: Final = Command(
    SCHEDULER,
    "submission",
    "chunk",
    bytes,
    c.Submission,
    COMPUTE_WRITE,
    "Submits tasks in several messages: the next of them; the last makes all of them visible.",
    line=c.TaskSpec,
)
SUBMISSION_GET: Final = Query(
    SCHEDULER, "submission", "get", c.SubmissionRef, c.Submission, COMPUTE_READ, "A submission."
)

TASK_CANCEL: Final = Command(
    SCHEDULER,
    "task",
    "cancel",
    c.TaskCancel,
    c.TaskChanges,
    COMPUTE_WRITE,
    "Cancels tasks; what waits for their results fails.",
)
TASK_RERUN: Final = Command(
    SCHEDULER,
    "task",
    "rerun",
    c.TaskRerun,
    c.TaskChanges,
    COMPUTE_WRITE,
    "Gives tasks that failed another attempt, all of them or those named.",
)
TASK_GET: Final = Query(SCHEDULER, "task", "get", c.TaskRef, c.Task, COMPUTE_READ, "A task.")
TASK_LIST: Final = Query(SCHEDULER, "task", "list", c.TaskQuery, c.TaskPage, COMPUTE_READ, "Tasks of a session.")
TASK_COUNT: Final = Query(
    SCHEDULER,
    "task",
    "count",
    c.TaskCount,
    c.TaskCounts,
    COMPUTE_READ,
    "How many tasks of a session are in each state.",
)
TASK_OUTPUTS: Final = Query(
    SCHEDULER,
    "task",
    "outputs",
    c.TaskOutputs,
    c.OutputsPage,
    COMPUTE_READ,
    "The results that tasks produce, of up to 1,000 tasks.",
)
TASK_ATTEMPTS: Final = Query(
    SCHEDULER,
    "task",
    "attempts",
    c.AttemptQuery,
    c.AttemptPage,
    COMPUTE_READ,
    "The attempts at a task, from the first to the current one.",
)
TASK_EXPLAIN: Final = Query(
    SCHEDULER, "task", "explain", c.TaskRef, c.Explanation, COMPUTE_READ, "Why a task is where it is."
)
TASK_LOGS: Final = Query(
    SCHEDULER,
    "task",
    "logs",
    c.TaskLogs,
    c.TaskLog,
    COMPUTE_READ,
    "What a task's code has printed, also while it runs.",
)
