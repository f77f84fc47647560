"""`/compute/v1`: sessions, results, tasks, partitions. Each route is a typed request to the scheduler."""

from typing import Any, Final

from services.gateway.compute import removal
from services.gateway.compute.submission_handler import NDJSON, SubmissionBody, SubmissionQuery, submit
from services.gateway.compute.value_handlers import BYTES, get_value, put_value
from services.gateway.http.asgi import Response
from services.gateway.http.reply import JSON, Reply
from services.gateway.http.request import Request
from services.gateway.http.route import Route, rpc
from shared.contracts import compute as c
from shared.contracts.endpoint import Endpoint
from shared.contracts.endpoints import compute as e
from shared.contracts.errors import Invalid, TooLarge
from shared.contracts.permissions import COMPUTE_READ, COMPUTE_WRITE
from shared.contracts.topology import INLINE_LIMIT

ROOT: Final = "/compute/v1"
PARTITION: Final = f"{ROOT}/partitions/{{name}}"
SESSION: Final = f"{ROOT}/sessions/{{session}}"
RESULT: Final = f"{ROOT}/results/{{result}}"
TASK: Final = f"{ROOT}/tasks/{{task}}"

WAIT_SECONDS: Final = 45
"""Longer than a wait takes: it answers by itself when its time has passed."""
IMPORT_SECONDS: Final = 65


async def create_results(request: Request, message: c.ResultCreate) -> Response:
    """`object` is not for users: it would let them claim what others have stored."""
    for number, result in enumerate(message.results):
        if result.object is not None or result.size:
            raise Invalid("objects are stored by PUT …/results/<id>/data", field=f"results[{number}].object")
        if result.data is not None and len(result.data) > INLINE_LIMIT:
            raise TooLarge(
                f"a value of more than {INLINE_LIMIT} bytes is not taken here: create the result without data, "
                "then PUT …/results/<id>/data",
                field=f"results[{number}].data",
            )
    return Reply(await request.ask_raw(e.RESULT_CREATE, message), 201)


async def session_with_counts(request: Request, ref: c.SessionRef) -> Response:
    """A session, with its tasks counted by their state."""
    return Reply(await request.ask_raw(e.SESSION_GET, c.SessionGet(ref.session, counts=True), timeout=10))


async def purge(request: Request, ref: c.SessionRef) -> Response:
    """The session when it is purged, or 202 with the session as it is."""
    found, done = await removal.purge(request.edge.bus, request.context, ref, request.key)
    return Reply(found, 200 if done else 202)


async def delete(request: Request, ref: c.SessionRef) -> Response:
    """The session when it is deleted, or 202 with the session as it is."""
    found, done = await removal.delete(request.edge.bus, request.context, ref, request.key)
    return Reply(found, 200 if done else 202)


def _write(method: str, path: str, handler: Any, summary: str, *asks: Endpoint[Any, Any], **more: Any) -> Route:
    """A change that is more than one request to the scheduler."""
    names = tuple(endpoint.name for endpoint in asks)
    return Route(method=method, path=path, needs=COMPUTE_WRITE, handler=handler, summary=summary, asks=names, **more)


ROUTES: Final = [
    rpc("GET", f"{ROOT}/partitions", e.PARTITION_LIST),
    rpc("POST", f"{ROOT}/partitions", e.PARTITION_CREATE, status=201),
    rpc("GET", PARTITION, e.PARTITION_GET),
    rpc("PATCH", PARTITION, e.PARTITION_UPDATE),
    rpc("DELETE", PARTITION, e.PARTITION_DELETE),
    rpc("GET", f"{ROOT}/sessions", e.SESSION_LIST),
    rpc("POST", f"{ROOT}/sessions", e.SESSION_CREATE, status=201),
    Route(
        method="GET",
        path=SESSION,
        needs=COMPUTE_READ,
        action="session.get",
        handler=session_with_counts,
        summary="A session and its counts.",
        message=c.SessionRef,
        reply=c.Session,
    ),
    rpc("POST", f"{SESSION}/pause", e.SESSION_PAUSE),
    rpc("POST", f"{SESSION}/resume", e.SESSION_RESUME),
    rpc("POST", f"{SESSION}/close", e.SESSION_CLOSE),
    rpc("POST", f"{SESSION}/cancel", e.SESSION_CANCEL),
    rpc("POST", f"{SESSION}/stop-submission", e.SESSION_STOP),
    _write(
        "POST",
        f"{SESSION}/purge",
        purge,
        "Deletes the values of a closed or cancelled session. 202 if that takes longer than 30 s.",
        e.SESSION_PURGE,
        message=c.SessionRef,
        reply=c.Session,
    ),
    _write(
        "DELETE",
        SESSION,
        delete,
        "Cancels what is left of a session and deletes all of it. 202 if that takes longer than 30 s.",
        e.SESSION_DELETE,
        message=c.SessionRef,
        reply=c.Session,
    ),
    rpc("POST", f"{SESSION}/tasks/cancel", e.TASK_CANCEL),
    rpc("POST", f"{SESSION}/tasks/rerun", e.TASK_RERUN),
    _write(
        "POST",
        f"{SESSION}/results",
        create_results,
        e.RESULT_CREATE.summary,
        e.RESULT_CREATE,
        message=c.ResultCreate,
        reply=c.ResultList,
        status=201,
    ),
    rpc("GET", f"{SESSION}/results", e.RESULT_LIST),
    rpc("GET", RESULT, e.RESULT_GET),
    rpc("POST", f"{SESSION}/results/import", e.RESULT_IMPORT, timeout=IMPORT_SECONDS),
    rpc("POST", f"{SESSION}/results/delete", e.RESULT_DELETE),
    rpc("POST", f"{ROOT}/results/wait", e.RESULT_WAIT, timeout=WAIT_SECONDS),
    _write(
        "PUT",
        f"{RESULT}/data",
        put_value,
        "Gives a created result its value: the body, of any size.",
        e.RESULT_COMPLETE,
        message=c.ResultRef,
        stream=bytes,
        reply=c.Result,
        takes=(BYTES,),
    ),
    Route(
        method="GET",
        path=f"{RESULT}/data",
        needs=COMPUTE_READ,
        action="result.value",
        handler=get_value,
        summary="A result's value, or a range of it.",
        message=c.ResultRef,
        gives=BYTES,
    ),
    _write(
        "POST",
        f"{SESSION}/submissions",
        submit,
        "Submits tasks: JSON of at most 512 KiB, or one task a line, any number of them.",
        e.SUBMISSION_CREATE,
        e.SUBMISSION_CHUNK,
        message=SubmissionQuery,
        stream=SubmissionBody,
        reply=c.Submission,
        status=201,
        takes=(JSON, NDJSON),
    ),
    rpc("GET", f"{ROOT}/submissions/{{submission}}", e.SUBMISSION_GET),
    rpc("GET", f"{SESSION}/tasks", e.TASK_LIST),
    rpc("GET", f"{SESSION}/tasks/count", e.TASK_COUNT),
    rpc("POST", f"{ROOT}/tasks/outputs", e.TASK_OUTPUTS),
    rpc("GET", TASK, e.TASK_GET),
    rpc("GET", f"{TASK}/explain", e.TASK_EXPLAIN),
    rpc("GET", f"{TASK}/attempts", e.TASK_ATTEMPTS),
    rpc("GET", f"{TASK}/logs", e.TASK_LOGS),
]
