"""Sessions, results and submissions: what users ask of the scheduler. Version 4.

Who may ask what is in `shared/contracts/endpoints/compute.py`; docs/endpoints.md is the table made from it.

The body of `submission.chunk` is newline-delimited JSON without blank lines. The headers Hr-Session, Hr-Submission, Hr-Chunk
(from 0), Hr-First (the number of its first line in the submission) and Hr-Last (`1` on the last) say the rest; Hr-Options (Options
as JSON) stands on every chunk or on none. The last chunk is sent when all others have been answered. Sending a chunk again does
nothing; sending other content under the same number is `already_exists`.
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

VERSION: Final = 4

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
