"""Every endpoint of every service, as data: `hr.rpc.<service>.<noun>.<verb>`, and `hr.cmd.…` where it is durable.

Those of the sites' brokers have subjects of their own.

docs/asyncapi.yaml is made from this, and a test holds it against what the services register.
"""

from typing import Any, Final

import msgspec

from shared.contracts import catalogue as k
from shared.contracts import compute as c
from shared.contracts import execution as x
from shared.contracts import retrieval as r
from shared.contracts import subjects
from shared.contracts import work as w
from shared.contracts.health import Health, HealthCheck
from shared.contracts.paging import Page


class Endpoint(msgspec.Struct, frozen=True):
    """`request`, `reply`: Structs. `request` bytes: newline-delimited JSON, each line a `line`. `durable`: a command too.

    `at`: its subject where that is another, with what varies in braces.
    """

    service: str
    noun: str
    verb: str
    request: Any
    reply: Any
    durable: bool = False
    line: Any = None
    at: str = ""

    @property
    def name(self) -> str:
        return f"{self.service}.{self.noun}.{self.verb}"

    @property
    def subject(self) -> str:
        return self.at or subjects.rpc(self.service, self.noun, self.verb)


HEALTH: Final = tuple(Endpoint(service, "health", "check", HealthCheck, Health) for service in subjects.SERVICES)

SCHEDULER: Final = (
    Endpoint("scheduler", "partition", "create", c.PartitionCreate, c.Partition, durable=True),
    Endpoint("scheduler", "partition", "update", c.PartitionUpdate, c.Partition, durable=True),
    Endpoint("scheduler", "partition", "delete", c.PartitionRef, c.Partition, durable=True),
    Endpoint("scheduler", "partition", "get", c.PartitionRef, c.Partition),
    Endpoint("scheduler", "partition", "list", Page, c.PartitionPage),
    Endpoint("scheduler", "session", "create", c.SessionCreate, c.Session, durable=True),
    Endpoint("scheduler", "session", "get", c.SessionGet, c.Session),
    Endpoint("scheduler", "session", "list", c.SessionList, c.SessionPage),
    Endpoint("scheduler", "session", "states", c.StatesQuery, c.States),
    Endpoint("scheduler", "session", "pause", c.SessionRef, c.Session, durable=True),
    Endpoint("scheduler", "session", "resume", c.SessionRef, c.Session, durable=True),
    Endpoint("scheduler", "session", "close", c.SessionRef, c.Session, durable=True),
    Endpoint("scheduler", "session", "cancel", c.SessionRef, c.Session, durable=True),
    Endpoint("scheduler", "session", "stop", c.SessionStop, c.Session, durable=True),
    Endpoint("scheduler", "session", "purge", c.SessionRef, c.Session, durable=True),
    Endpoint("scheduler", "session", "delete", c.SessionRef, c.Session, durable=True),
    Endpoint("scheduler", "result", "create", c.ResultCreate, c.ResultList, durable=True),
    Endpoint("scheduler", "result", "complete", c.ResultComplete, c.Result, durable=True),
    Endpoint("scheduler", "result", "abort", c.ResultAbort, c.ResultList, durable=True),
    Endpoint("scheduler", "result", "import", c.ResultImport, c.ResultList, durable=True),
    Endpoint("scheduler", "result", "delete", c.ResultDelete, c.ResultList, durable=True),
    Endpoint("scheduler", "result", "wait", c.ResultWait, c.ResultWaited),
    Endpoint("scheduler", "result", "get", c.ResultRef, c.Result),
    Endpoint("scheduler", "result", "list", c.ResultQuery, c.ResultPage),
    Endpoint("scheduler", "result", "value", c.ResultRef, c.Value),
    Endpoint("scheduler", "submission", "create", c.SubmissionCreate, c.Submission, durable=True),
    Endpoint("scheduler", "submission", "chunk", bytes, c.Submission, line=c.TaskSpec, durable=True),
    Endpoint("scheduler", "submission", "get", c.SubmissionRef, c.Submission),
    Endpoint("scheduler", "task", "cancel", c.TaskCancel, c.TaskChanges, durable=True),
    Endpoint("scheduler", "task", "rerun", c.TaskRerun, c.TaskChanges, durable=True),
    Endpoint("scheduler", "task", "get", c.TaskRef, c.Task),
    Endpoint("scheduler", "task", "list", c.TaskQuery, c.TaskPage),
    Endpoint("scheduler", "task", "count", c.TaskCount, c.TaskCounts),
    Endpoint("scheduler", "task", "outputs", c.TaskOutputs, c.OutputsPage),
    Endpoint("scheduler", "task", "attempts", c.AttemptQuery, c.AttemptPage),
    Endpoint("scheduler", "task", "explain", c.TaskRef, c.Explanation),
    Endpoint("scheduler", "task", "logs", c.TaskLogs, c.TaskLog),
    Endpoint("scheduler", "task", "confirm", w.Confirm, w.Confirmed),
    Endpoint("scheduler", "task", "inputs", w.InputsOf, w.Inputs),
    Endpoint("scheduler", "task", "spawn", w.Spawn, w.Spawned),
)

ARCHIVER: Final = (
    Endpoint("archiver", "dataset", "create", k.DatasetCreate, k.Dataset, durable=True),
    Endpoint("archiver", "dataset", "get", k.DatasetRef, k.Dataset),
    Endpoint("archiver", "dataset", "list", Page, k.DatasetPage),
    Endpoint("archiver", "dataset", "lifecycle", k.LifecycleUpdate, k.Dataset),
    Endpoint("archiver", "dataset", "locate", k.DatasetRef, k.Located),
    Endpoint("archiver", "dataset", "explain", k.DatasetRef, k.DatasetState),
    Endpoint("archiver", "dataset", "abandon", k.DatasetAbandon, k.Abandoned, durable=True),
    Endpoint("archiver", "origdatablock", "create", k.OrigDatablockCreate, k.OrigDatablock, durable=True),
    Endpoint("archiver", "datablock", "list", k.DatablockQuery, k.DatablockPage),
    Endpoint("archiver", "datablock", "files", k.FileQuery, k.FilePage),
    Endpoint("archiver", "datablock", "report", k.DatablockReport, k.Datablock),
    Endpoint("archiver", "upload", "list", k.UploadQuery, k.UploadPage),
    Endpoint("archiver", "upload", "sign", k.UploadSign, k.UploadUrls),
    Endpoint("archiver", "upload", "finish", k.DatasetRef, k.Dataset, durable=True),
    Endpoint("archiver", "job", "create", k.JobCreate, k.Job, durable=True),
    Endpoint("archiver", "job", "get", k.JobRef, k.Job),
    Endpoint("archiver", "job", "update", k.JobUpdate, k.Job),
)

RETRIEVER: Final = (
    Endpoint("retriever", "retrieval", "create", r.RetrievalCreate, r.Retrieval, durable=True),
    Endpoint("retriever", "retrieval", "get", r.RetrievalRef, r.Retrieval),
    Endpoint("retriever", "retrieval", "urls", r.DownloadQuery, r.Downloads),
)

BROKER: Final = (
    Endpoint("broker", "offer", "request", x.OfferRequest, x.OfferReply, at=subjects.OFFER_REQUEST),
    Endpoint("broker", "offer", "accept", x.OfferRef, x.Offer, at=subjects.broker("{site}", "accept")),
    Endpoint("broker", "offer", "reject", x.OfferRef, x.Offer, at=subjects.broker("{site}", "reject")),
    Endpoint("broker", "offer", "release", x.OfferRef, x.Offer, at=subjects.broker("{site}", "release")),
    Endpoint("broker", "offer", "get", x.OfferRef, x.Offer, at=subjects.broker("{site}", "get")),
    Endpoint("broker", "site", "ping", x.SitePing, x.Site, at=subjects.broker("{site}", "ping")),
)

ENDPOINTS: Final = (*SCHEDULER, *ARCHIVER, *RETRIEVER, *BROKER, *HEALTH)
