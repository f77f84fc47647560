"""`/compute/v1`: sessions, results, tasks, partitions. Each route is a typed request to the scheduler."""

import msgspec
from litestar.types import ASGIApp

from services.gateway.compute import removal, submissions, values
from services.gateway.compute.submissions import NDJSON, SubmissionBody, SubmissionQuery
from services.gateway.http.reply import Reply
from services.gateway.http.request import Call
from services.gateway.http.route import Route, passed_on, rpc, without
from services.gateway.identity.auth import OPS, READ, WRITE
from shared.contracts import compute as c
from shared.contracts.errors import Invalid, TooLarge
from shared.contracts.paging import Page
from shared.contracts.topology import INLINE_LIMIT

ROOT = "/compute/v1"
PARTITION = f"{ROOT}/partitions/{{name}}"
SESSION = f"{ROOT}/sessions/{{session}}"
RESULT = f"{ROOT}/results/{{result}}"

WAIT_SECONDS = 45
"""Longer than a wait takes: it answers by itself when its time has passed."""
IMPORT_SECONDS = 65

_ResultBody = without(c.ResultCreate, "session")


async def create_results(call: Call) -> ASGIApp:
    """POST …/results: `object` is not for users: it would let them claim what others have stored."""
    asked = c.ResultCreate(call.uuid("session"), (await call.json(_ResultBody)).results)
    for number, result in enumerate(asked.results):
        if result.object is not None or result.size:
            raise Invalid("objects are stored by PUT …/results/<id>/data", field=f"results[{number}].object")
        if result.data is not None and len(result.data) > INLINE_LIMIT:
            raise TooLarge(
                f"a value of more than {INLINE_LIMIT} bytes is not taken here: create the result without data, "
                "then PUT …/results/<id>/data",
                field=f"results[{number}].data",
            )
    return await passed_on(call, "result.create", asked, 201)


async def counted_session(call: Call) -> ASGIApp:
    asked = c.SessionGet(call.asked(c.SessionRef).session, counts=True)
    return Reply(bytes(await call.scheduler("session.get", asked, msgspec.Raw, timeout=10)))


ROUTES = [
    rpc("GET", f"{ROOT}/partitions", READ, "partition.list", Page, c.PartitionPage, "Partitions and their workers."),
    rpc(
        "POST",
        f"{ROOT}/partitions",
        OPS,
        "partition.create",
        c.PartitionCreate,
        c.Partition,
        "Makes a partition; only the admin may.",
        status=201,
    ),
    rpc("GET", PARTITION, READ, "partition.get", c.PartitionRef, c.Partition, "A partition and its workers."),
    rpc(
        "PATCH",
        PARTITION,
        OPS,
        "partition.update",
        c.PartitionUpdate,
        c.Partition,
        "Changes priority, reserve or max of a partition; only the admin may.",
    ),
    rpc(
        "DELETE",
        PARTITION,
        OPS,
        "partition.delete",
        c.PartitionRef,
        c.Partition,
        "Deletes a partition that no session uses; only the admin may.",
    ),
    rpc("GET", f"{ROOT}/sessions", READ, "session.list", c.SessionList, c.SessionPage, "Sessions, newest first."),
    rpc(
        "POST",
        f"{ROOT}/sessions",
        WRITE,
        "session.create",
        c.SessionCreate,
        c.Session,
        "Opens a session.",
        status=201,
    ),
    Route(
        method="GET",
        path=SESSION,
        needs=READ,
        handler=counted_session,
        summary="A session and its counts.",
        reply=c.Session,
    ),
    *(
        rpc("POST", f"{SESSION}/{verb}", WRITE, f"session.{verb}", c.SessionRef, c.Session, says)
        for verb, says in (
            ("pause", "Pauses a session: what runs finishes, nothing else begins."),
            ("resume", "Lets a paused session go on."),
            ("close", "Closes a session: what does not run yet is cancelled."),
            (
                "cancel",
                "Cancels a session: its tasks end, those that run are stopped, results without a value are aborted.",
            ),
        )
    ),
    rpc(
        "POST",
        f"{SESSION}/stop-submission",
        WRITE,
        "session.stop",
        c.SessionStop,
        c.Session,
        "Ends submission by clients, by workers, or both.",
    ),
    Route(
        method="POST",
        path=f"{SESSION}/purge",
        needs=WRITE,
        handler=removal.purge,
        summary="Deletes the values of a closed or cancelled session. 202 if that takes longer than 30 s.",
        reply=c.Session,
        asks=("scheduler.session.purge",),
    ),
    Route(
        method="DELETE",
        path=SESSION,
        needs=WRITE,
        handler=removal.delete,
        summary="Cancels what is left of a session and deletes all of it. 202 if that takes longer than 30 s.",
        reply=c.Session,
        asks=("scheduler.session.delete",),
    ),
    rpc(
        "POST",
        f"{SESSION}/tasks/cancel",
        WRITE,
        "task.cancel",
        c.TaskCancel,
        c.TaskChanges,
        "Cancels tasks; what waits for their results fails.",
    ),
    rpc(
        "POST",
        f"{SESSION}/tasks/rerun",
        WRITE,
        "task.rerun",
        c.TaskRerun,
        c.TaskChanges,
        "Gives tasks that failed another attempt, all of them or those named.",
    ),
    Route(
        method="POST",
        path=f"{SESSION}/results",
        needs=WRITE,
        handler=create_results,
        summary="Creates results, with small values or without.",
        body=_ResultBody,
        reply=c.ResultList,
        status=201,
        asks=("scheduler.result.create",),
    ),
    rpc("GET", f"{SESSION}/results", READ, "result.list", c.ResultQuery, c.ResultPage, "Results of a session."),
    rpc("GET", RESULT, READ, "result.get", c.ResultRef, c.Result, "A result, without its value."),
    rpc(
        "POST",
        f"{SESSION}/results/import",
        WRITE,
        "result.import",
        c.ResultImport,
        c.ResultList,
        "Completes results with objects that lie in the bucket already; they stay their owner's.",
        timeout=IMPORT_SECONDS,
    ),
    rpc(
        "POST",
        f"{SESSION}/results/delete",
        WRITE,
        "result.delete",
        c.ResultDelete,
        c.ResultList,
        "Deletes the values of results.",
    ),
    rpc(
        "POST",
        f"{ROOT}/results/wait",
        READ,
        "result.wait",
        c.ResultWait,
        c.ResultWaited,
        "Waits until results have ended, all or any, for at most 30 s.",
        timeout=WAIT_SECONDS,
    ),
    Route(
        method="PUT",
        path=f"{RESULT}/data",
        needs=WRITE,
        handler=values.put,
        summary="Gives a created result its value: the body, of any size.",
        body=bytes,
        reply=c.Result,
        takes=(values.BYTES,),
        asks=("scheduler.result.complete",),
    ),
    Route(
        method="GET",
        path=f"{RESULT}/data",
        needs=READ,
        handler=values.get,
        summary="A result's value, or a range of it.",
        gives=values.BYTES,
    ),
    Route(
        method="POST",
        path=f"{SESSION}/submissions",
        needs=WRITE,
        handler=submissions.submit,
        summary="Submits tasks: JSON of at most 512 KiB, or one task a line, any number of them.",
        query=without(SubmissionQuery, "session"),
        body=SubmissionBody,
        reply=c.Submission,
        status=201,
        takes=("application/json", NDJSON),
        asks=("scheduler.submission.create", "scheduler.submission.chunk"),
    ),
    rpc(
        "GET",
        f"{ROOT}/submissions/{{submission}}",
        READ,
        "submission.get",
        c.SubmissionRef,
        c.Submission,
        "A submission.",
    ),
    rpc("GET", f"{SESSION}/tasks", READ, "task.list", c.TaskQuery, c.TaskPage, "Tasks of a session."),
    rpc(
        "GET",
        f"{SESSION}/tasks/count",
        READ,
        "task.count",
        c.TaskCount,
        c.TaskCounts,
        "How many tasks of a session are in each state.",
    ),
    rpc(
        "POST",
        f"{ROOT}/tasks/outputs",
        READ,
        "task.outputs",
        c.TaskOutputs,
        c.OutputsPage,
        "The results that tasks produce, of up to 1,000 tasks.",
    ),
    rpc("GET", f"{ROOT}/tasks/{{task}}", READ, "task.get", c.TaskRef, c.Task, "A task."),
    rpc(
        "GET",
        f"{ROOT}/tasks/{{task}}/explain",
        READ,
        "task.explain",
        c.TaskRef,
        c.Explanation,
        "Why a task is where it is.",
    ),
    rpc(
        "GET",
        f"{ROOT}/tasks/{{task}}/attempts",
        READ,
        "task.attempts",
        c.AttemptQuery,
        c.AttemptPage,
        "The attempts at a task, from the first to the current one.",
    ),
    rpc(
        "GET",
        f"{ROOT}/tasks/{{task}}/logs",
        READ,
        "task.logs",
        c.TaskLogs,
        c.TaskLog,
        "What a task's code has printed, also while it runs.",
    ),
]
