"""Why a thing is where it is, whatever its id names: found by asking for one kind of thing after the other."""

from collections.abc import Callable, Iterator
from typing import Any, Final
from uuid import UUID

import msgspec

from shared.client.cli.api import Api
from shared.client.cli.commands.partitions import notes
from shared.client.errors import FailedError, NotFoundError
from shared.client.paths import ARCHIVER, COMPUTE, DATA, EXECUTION, OPERATIONS, segment

Document = dict[str, Any]


class Explanation(msgspec.Struct, frozen=True):
    """`kind`: what it is, such as `task`; `document`: all that is known of it; `since`: when it began to wait (RFC 3339)."""

    kind: str
    document: Document
    summary: str
    reasons: list[str]
    since: str | None = None


def explain(api: Api, name: str) -> Explanation:
    """Explains what has this id, pid or name. NotFoundError or FailedError if nothing has it."""
    if _is_uuid(name):
        for kind, path, describe in _BY_ID:
            if (document := _find(api, path.format(id=name))) is not None:
                return describe(api, kind, document)
    try:
        found = api.get(f"{ARCHIVER}/datasets/{segment(name)}/explain")
    except NotFoundError:
        if not _is_uuid(name) and (partition := _find(api, f"{COMPUTE}/partitions/{segment(name)}")) is not None:
            return _partition(partition)
        if _is_uuid(name):
            kinds = ", ".join(kind for kind, *_ in _BY_ID)
            raise FailedError(f"nothing that you may see has the id {name}: no {kinds}, dataset") from None
        raise
    dataset = api.run(api.client.datasets.one(name).get())
    return Explanation("dataset", dataset, found["summary"], found["reasons"])


def _is_uuid(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False


def _find(api: Api, path: str) -> Document | None:
    try:
        found: Document = api.get(path)
    except NotFoundError:
        return None
    return found


def _task(_: Api, kind: str, found: Document) -> Explanation:
    return Explanation(kind, found["task"], found["summary"], found["reasons"], found.get("since"))


def _session(_: Api, kind: str, session: Document) -> Explanation:
    return Explanation(kind, session, f"session {session['id']} is {session['status']}", list(_of_session(session)))


def _of_session(session: Document) -> Iterator[str]:
    counts = dict(session.get("tasks") or {})
    unplaced = counts.pop("unplaced", {})
    yield (
        "tasks: " + ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        if any(counts.values())
        else "it has no tasks"
    )
    for function, count in unplaced.items():
        yield f"{count} wait for function {function}, which no live worker has"
    for field, who in (("client_submission", "clients"), ("worker_submission", "its own tasks")):
        if session.get(field) is False:
            yield f"it takes no more tasks from {who}"
    if session.get("operation"):
        yield f"it is being purged or deleted (operation {session['operation']})"
    if session.get("expires_at"):
        yield f"it is deleted at {session['expires_at']}"


def _result(api: Api, kind: str, result: Document) -> Explanation:
    summary = f"result {result['id']} is {result['status']}"
    if result["status"] != "created":
        where = f"its value lies at {result['opaque']}" if result.get("opaque") else "it has no value"
        return Explanation(kind, result, summary, [where])
    if not result["owner_task"]:
        return Explanation(
            kind, result, summary, ["no task produces it: it waits for an upload, an import or a retrieval"]
        )
    found = _find(api, f"{COMPUTE}/tasks/{result['owner_task']}/explain")
    if found is None:
        return Explanation(kind, result, summary, [f"task {result['owner_task']}, which produces it, is gone"])
    reasons = [f"task {result['owner_task']} produces it: {found['summary']}", *found["reasons"]]
    return Explanation(kind, result, summary, reasons, found.get("since"))


def _submission(_: Api, kind: str, found: Document) -> Explanation:
    reasons = [f"{found['tasks']} tasks of session {found['session']}"]
    return Explanation(kind, found, f"submission {found['id']} is {found['status']}", reasons)


def _retrieval(_: Api, kind: str, found: Document) -> Explanation:
    reasons = [f"{found['blocks_back']} of {found['datablocks']} datablocks are back"]
    reasons += [text for text in (f"step: {found['step']}" if found["step"] else "", found["error"]) if text]
    return Explanation(kind, found, f"retrieval of {found['pid']} is {found['status']}", reasons)


def _job(_: Api, kind: str, found: Document) -> Explanation:
    summary = f"job {found['id']} ({found['type']} {found['pid']}) is {found['jobStatusMessage']}"
    return Explanation(kind, found, summary, [found["message"]] if found["message"] else [])


def _offer(_: Api, kind: str, found: Document) -> Explanation:
    meta = found["meta"]
    reasons = [*found.get("reasons", []), *(message["message"] for message in meta.get("messages", []))]
    return Explanation(kind, found, f"offer {meta['uuid']} of {found['site']} is {found['phase']}", reasons)


def _operation(_: Api, kind: str, found: Document) -> Explanation:
    at, error = found["metadata"], found.get("error")
    reasons = [f"step: {at['step']}"] if at["step"] else []
    for unit, amount in at.get("progress", {}).items():
        reasons.append(f"{amount['done']} of {amount.get('total') or 'unknown'} {unit}")
    reasons += [text for text in (at.get("message", ""), error["message"] if error else "") if text]
    return Explanation(kind, found, f"{found['name']} ({at['kind']} {at['target']}) is {at['state']}", reasons)


def _partition(found: Document) -> Explanation:
    summary = f"partition {found['name']}: {found['workers']} workers, {found['waiting']} tasks waiting"
    return Explanation("partition", found, summary, list(notes(found)))


_BY_ID: Final[tuple[tuple[str, str, Callable[[Api, str, Document], Explanation]], ...]] = (
    ("task", f"{COMPUTE}/tasks/{{id}}/explain", _task),
    ("session", f"{COMPUTE}/sessions/{{id}}", _session),
    ("result", f"{COMPUTE}/results/{{id}}", _result),
    ("submission", f"{COMPUTE}/submissions/{{id}}", _submission),
    ("retrieval", f"{DATA}/retrievals/{{id}}", _retrieval),
    ("job", f"{DATA}/jobs/{{id}}", _job),
    ("offer", f"{EXECUTION}/sessions/{{id}}", _offer),
    ("operation", f"{OPERATIONS}/{{id}}", _operation),
)
