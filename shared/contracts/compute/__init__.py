"""Sessions, results and submissions: what users ask of the scheduler. Version 3.

Endpoints, each also a durable command (`hr.cmd.<user>.scheduler.<noun>.<verb>`) where it changes something
(partitions are changed by the admin only):

| subject                                | request            | reply           |
|----------------------------------------|--------------------|-----------------|
| `hr.rpc.scheduler.partition.create`    | PartitionCreate    | Partition       |
| `hr.rpc.scheduler.partition.update`    | PartitionUpdate    | Partition       |
| `hr.rpc.scheduler.partition.delete`    | PartitionRef       | Partition       |
| `hr.rpc.scheduler.partition.get`       | PartitionRef       | Partition       |
| `hr.rpc.scheduler.partition.list`      | Page               | PartitionPage   |
| `hr.rpc.scheduler.session.create`      | SessionCreate      | Session         |
| `hr.rpc.scheduler.session.get`         | SessionGet         | Session         |
| `hr.rpc.scheduler.session.list`        | SessionList        | SessionPage     |
| `hr.rpc.scheduler.session.states`      | StatesQuery        | States          |
| `hr.rpc.scheduler.session.pause`       | SessionRef         | Session         |
| `hr.rpc.scheduler.session.resume`      | SessionRef         | Session         |
| `hr.rpc.scheduler.session.close`       | SessionRef         | Session         |
| `hr.rpc.scheduler.session.cancel`      | SessionRef         | Session         |
| `hr.rpc.scheduler.session.stop`        | SessionStop        | Session         |
| `hr.rpc.scheduler.session.purge`       | SessionRef         | Session         |
| `hr.rpc.scheduler.session.delete`      | SessionRef         | Session         |
| `hr.rpc.scheduler.result.create`       | ResultCreate       | ResultList      |
| `hr.rpc.scheduler.result.complete`     | ResultComplete     | Result          |
| `hr.rpc.scheduler.result.abort`        | ResultAbort        | ResultList      |
| `hr.rpc.scheduler.result.import`       | ResultImport       | ResultList      |
| `hr.rpc.scheduler.result.delete`       | ResultDelete       | ResultList      |
| `hr.rpc.scheduler.result.wait`         | ResultWait         | ResultWaited    |
| `hr.rpc.scheduler.result.get`          | ResultRef          | Result          |
| `hr.rpc.scheduler.result.list`         | ResultQuery        | ResultPage      |
| `hr.rpc.scheduler.result.value`        | ResultRef          | Value           |
| `hr.rpc.scheduler.submission.create`   | SubmissionCreate   | Submission      |
| `hr.rpc.scheduler.submission.chunk`    | TaskSpec lines ¹   | Submission      |
| `hr.rpc.scheduler.submission.get`      | SubmissionRef      | Submission      |
| `hr.rpc.scheduler.task.cancel`         | TaskCancel         | TaskChanges     |
| `hr.rpc.scheduler.task.rerun`          | TaskRerun          | TaskChanges     |
| `hr.rpc.scheduler.task.get`            | TaskRef            | Task            |
| `hr.rpc.scheduler.task.list`           | TaskQuery          | TaskPage        |
| `hr.rpc.scheduler.task.count`          | TaskCount          | TaskCounts      |
| `hr.rpc.scheduler.task.outputs`        | TaskOutputs        | OutputsPage     |
| `hr.rpc.scheduler.task.attempts`       | AttemptQuery       | AttemptPage     |
| `hr.rpc.scheduler.task.explain`        | TaskRef            | Explanation     |
| `hr.rpc.scheduler.task.logs`           | TaskLogs           | TaskLog         |

¹ newline-delimited JSON; no blank lines; the headers Hr-Session, Hr-Submission, Hr-Chunk (from 0), Hr-First (the number of its
first line in the submission) and Hr-Last (`1` on the last) say the rest; Hr-Options (Options as JSON) stands on every chunk
or on none. The last chunk is sent when all others have been answered. Sending a chunk again does nothing; sending other content
under the same number is `already_exists`.
"""

from typing import Final

from shared.contracts.compute.filters import Condition, Sort, Where
from shared.contracts.compute.options import (
    DEFAULT_PARTITION,
    Application,
    AppText,
    Function,
    Label,
    Name,
    Options,
    PartitionName,
)
from shared.contracts.compute.partitions import (
    Partition,
    PartitionCreate,
    PartitionPage,
    PartitionRef,
    PartitionUpdate,
)
from shared.contracts.compute.queries import (
    Attempt,
    AttemptPage,
    AttemptQuery,
    OutputsOf,
    OutputsPage,
    TaskCount,
    TaskCounts,
    TaskOutputs,
)
from shared.contracts.compute.results import (
    Import,
    Key,
    NewResult,
    Result,
    ResultAbort,
    ResultComplete,
    ResultCreate,
    ResultDelete,
    ResultImport,
    ResultList,
    ResultPage,
    ResultQuery,
    ResultRef,
    ResultWait,
    ResultWaited,
    Sha256,
    Value,
)
from shared.contracts.compute.sessions import (
    Counts,
    Session,
    SessionCreate,
    SessionGet,
    SessionList,
    SessionPage,
    SessionRef,
    SessionStop,
)
from shared.contracts.compute.states import States, StatesQuery
from shared.contracts.compute.submissions import (
    MAX_INPUTS,
    Submission,
    SubmissionCreate,
    SubmissionRef,
    TaskSpec,
)
from shared.contracts.compute.tasks import (
    Explanation,
    Task,
    TaskCancel,
    TaskChanges,
    TaskLog,
    TaskLogs,
    TaskPage,
    TaskQuery,
    TaskRef,
    TaskRerun,
    Unchanged,
)

VERSION: Final = 3

__all__ = [
    "DEFAULT_PARTITION",
    "MAX_INPUTS",
    "AppText",
    "Application",
    "Attempt",
    "AttemptPage",
    "AttemptQuery",
    "Condition",
    "Counts",
    "Explanation",
    "Function",
    "Import",
    "Key",
    "Label",
    "Name",
    "NewResult",
    "Options",
    "OutputsOf",
    "OutputsPage",
    "Partition",
    "PartitionCreate",
    "PartitionName",
    "PartitionPage",
    "PartitionRef",
    "PartitionUpdate",
    "Result",
    "ResultAbort",
    "ResultComplete",
    "ResultCreate",
    "ResultDelete",
    "ResultImport",
    "ResultList",
    "ResultPage",
    "ResultQuery",
    "ResultRef",
    "ResultWait",
    "ResultWaited",
    "Session",
    "SessionCreate",
    "SessionGet",
    "SessionList",
    "SessionPage",
    "SessionRef",
    "SessionStop",
    "Sha256",
    "Sort",
    "States",
    "StatesQuery",
    "Submission",
    "SubmissionCreate",
    "SubmissionRef",
    "Task",
    "TaskCancel",
    "TaskChanges",
    "TaskCount",
    "TaskCounts",
    "TaskLog",
    "TaskLogs",
    "TaskOutputs",
    "TaskPage",
    "TaskQuery",
    "TaskRef",
    "TaskRerun",
    "TaskSpec",
    "Unchanged",
    "Value",
    "Where",
]
