"""The `headrace` command against an HTTP server with set answers: what it asks, prints, and ends with."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from shared.client.cli.__main__ import run
from shared.contracts.ids import submission_id, task_id
from tests.support.cli_edge import Edge, serving

SESSION = "019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f"
SUBMISSION = submission_id()


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Edge]:
    with serving(monkeypatch) as made:
        yield made


def status(ok: bool) -> dict[str, Any]:
    return {
        "ok": ok,
        "services": [
            {"service": "broker", "ok": ok, "version": "1", "since": "", "checks": {"database": "ok" if ok else "away"}}
        ],
        "streams": [{"name": "EVENTS", "messages": 5, "bytes": 2048, "last": 5, "consumers": []}],
        "partitions": [{"name": "default", "workers": 1, "slots": 2, "outstanding": 0}],
    }


def test_status_for_people_and_for_machines(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    edge.answers["GET /ops/v1/status"] = (200, status(True))
    assert run(["status"]) == 0
    shown = capsys.readouterr().out
    assert "broker" in shown
    assert "2.0 KiB" in shown
    assert run(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == status(True)
    assert edge.seen[0][3] == "Bearer secret"
    edge.answers["GET /ops/v1/status"] = (200, status(False))
    assert run(["status"]) == 1
    assert "database: away" in capsys.readouterr().out


def test_an_error_shows_detail_field_and_trace(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    problem = {"detail": "there is no [red]dataset[/]", "field": "pid", "trace": "abc", "code": "not_found"}
    edge.answers["GET /archiver/api/v1/datasets/x/explain"] = (404, problem)
    assert run(["explain", "x"]) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: there is no [red]dataset[/]\n  field: pid\n  trace: abc\n")
    assert run(["explain", "x", "--json"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err) == {"status": 404} | problem
    edge.answers["GET /archiver/api/v1/datasets/x/explain"] = (502, b"<html>")
    assert run(["explain", "x"]) == 1
    assert "502" in capsys.readouterr().err


ID = "019a6f2e-5d3c-7a10-8c44-000200000009"
OWNER = "019a6f2e-5d3c-7a10-8c44-000200000001"
TOLD: dict[str, tuple[str, dict[str, Any], str]] = {
    "task": (
        f"/compute/v1/tasks/{ID}/explain",
        {"task": {"id": ID}, "summary": "it waits", "reasons": ["no worker"], "since": "2026-03-01T22:10:05Z"},
        "no worker",
    ),
    "session": (
        f"/compute/v1/sessions/{ID}",
        {"id": ID, "status": "running", "tasks": {"total": 3, "waiting": 2, "unplaced": {"f": 2}}},
        "2 wait for function f, which no live worker has",
    ),
    "result": (
        f"/compute/v1/results/{ID}",
        {"id": ID, "status": "created", "owner_task": OWNER, "opaque": ""},
        f"task {OWNER} produces it: it waits",
    ),
    "submission": (
        f"/compute/v1/submissions/{ID}",
        {"id": ID, "status": "visible", "session": SESSION, "tasks": 3},
        f"3 tasks of session {SESSION}",
    ),
    "retrieval": (
        f"/data/v1/retrievals/{ID}",
        {"id": ID, "pid": "a/b", "status": "running", "step": "unpack", "error": "", "datablocks": 3, "blocks_back": 1},
        "1 of 3 datablocks are back",
    ),
    "job": (
        f"/data/v1/jobs/{ID}",
        {"id": ID, "type": "archive", "pid": "a/b", "jobStatusMessage": "inProgress", "message": "it is copied"},
        "it is copied",
    ),
    "offer": (
        f"/execution/v1/sessions/{ID}",
        {"meta": {"uuid": ID, "messages": []}, "site": "site-a", "phase": "OFFERED", "reasons": ["2 cores free"]},
        "2 cores free",
    ),
    "operation": (
        f"/operations/v1/operations/{ID}",
        {
            "name": f"operations/{ID}",
            "metadata": {
                "kind": "archive",
                "target": "datasets/a/b",
                "state": "running",
                "step": "pack",
                "message": "it waits",
                "progress": {"files": {"done": 2, "total": 5}},
            },
            "done": False,
        },
        "2 of 5 files",
    ),
}


@pytest.mark.parametrize("kind", TOLD)
def test_anything_that_has_an_id_is_explained(edge: Edge, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    path, document, reason = TOLD[kind]
    edge.answers[f"GET {path}"] = (200, document)
    edge.answers[f"GET /compute/v1/tasks/{OWNER}/explain"] = (200, {"summary": "it waits", "reasons": ["no worker"]})
    assert run(["explain", ID]) == 0
    shown = capsys.readouterr().out
    assert reason in shown
    assert ID in shown
    assert run(["explain", ID, "--json"]) == 0
    received = json.loads(capsys.readouterr().out)
    assert received[kind] == (document["task"] if kind == "task" else document)
    assert any(reason in one for one in received["reasons"])


def test_datasets_and_partitions_are_explained_by_their_names(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    edge.answers["GET /archiver/api/v1/datasets/a%2Fb/explain"] = (
        200,
        {"pid": "a/b", "summary": "it is packed", "reasons": ["step pack"]},
    )
    edge.answers["GET /data/v1/datasets/a%2Fb"] = (200, {"pid": "a/b"})
    gpu = {"name": "gpu", "workers": 0, "waiting": 2, "unplaced": {"f": 2}}
    edge.answers["GET /compute/v1/partitions/gpu"] = (200, gpu)
    assert run(["explain", "a/b"]) == 0
    assert "it is packed\n  - step pack\n" in capsys.readouterr().out
    assert run(["explain", "gpu"]) == 0
    assert "2 wait for function f" in capsys.readouterr().out
    assert run(["explain", ID]) == 1
    assert f"nothing that you may see has the id {ID}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["explain"], ["status", "--nope"], ["tasks", SESSION, "--size", "x"], ["dead", "replay"],
     ["dead", "replay", "3", "--all"], ["dead", "replay", "x"], ["submit", "--typo"], ["submit", "/no/such/file"],
     ["download", "x", "--json"], ["upload", "/etc/hostname"], ["upload", "--session", "s"], ["wait"],
     ["upload", "/no/such/file", "--session", "s"], ["import", "s"], ["delete-data"]],
)  # fmt: skip
def test_wrong_usage_is_2_and_asks_nothing(
    edge: Edge, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr().err
    assert edge.seen == []


def test_nobody_there_is_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HEADRACE_TOKEN", "t")
    for url in ("http://127.0.0.1:9", "nonsense", "http://[::bad"):
        monkeypatch.setenv("HEADRACE_HTTP_URL", url)
        assert run(["status"]) == 3
        assert run(["events"]) == 3
    assert "nobody answers" in capsys.readouterr().err


def test_lists_are_paged(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    item = {
        "id": SESSION,
        "name": "a\x1b[31m",
        "status": "running",
        "owner": "ada",
        "created_at": "2026-01-01T00:00:00Z",
    }
    edge.answers["GET /compute/v1/sessions"] = (200, {"items": [item], "next": "more"})
    assert run(["sessions", "--status", "running", "--size", "5", "--token", "t"]) == 0
    out, err = capsys.readouterr()
    assert SESSION in out
    assert "\x1b[31m" not in out
    assert "--token more" in err
    assert edge.seen[0][1] == {"status": "running", "size": "5", "token": "t"}


def test_dead_letters(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    edge.answers["POST /ops/v1/dead/replay"] = (200, {"replayed": [3], "missing": [5]})
    assert run(["dead", "replay", "3", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"replayed": [3], "missing": [5]}
    assert run(["dead", "replay", "--all"]) == 0
    assert [json.loads(body) for _, _, body, _ in edge.seen] == [{"sequences": [3, 5]}, {"all": True}]


def block(number: int, **lists: list[UUID]) -> bytes:
    body = {"session": SESSION} | {name: [str(one) for one in ids] for name, ids in lists.items()}
    return b"id: 1-%d\nevent: task.changed\ndata: %b\n\n" % (number, json.dumps(body).encode())


@pytest.mark.parametrize(("failing", "code"), [(0, 0), (1, 1)])
def test_submit_waits_for_its_own_tasks(
    edge: Edge, tmp_path: Path, failing: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tasks.ndjson"
    file.write_text('{"payload": 1}\n' * 3)
    ours = [task_id(SUBMISSION, line) for line in range(3)]
    others = [task_id(submission_id(), line) for line in range(3)]
    stream = b": connected\nid: 1-0\nretry: 1000\n\n: beat\n\n"
    stream += block(1, completed=[*others, ours[0]]) + block(2, completed=[ours[0], ours[1]])
    stream += block(3, **{"failed" if failing else "completed": [ours[2]]})
    edge.answers |= {
        "GET /events": (200, stream),
        "POST /compute/v1/sessions": (201, {"id": SESSION}),
        f"POST /compute/v1/sessions/{SESSION}/submissions": (201, {"id": str(SUBMISSION), "tasks": 3}),
    }
    assert run(["submit", str(file), "--function", "f", "--priority", "5", "--wait", "--json"]) == code
    received = json.loads(capsys.readouterr().out)
    counts = {"completed": 3 - failing, "failed": failing, "cancelled": 0}
    assert received == {"session": SESSION, "submission": str(SUBMISSION), "tasks": 3} | counts
    asked, query, body, _ = edge.seen[-1]
    assert asked.endswith("/submissions")
    assert json.loads(query["options"]) == {"function": "f", "priority": 5}
    assert body == file.read_bytes()
    assert edge.seen[1][0] == "GET /events", "the subscription comes before the submission"
    assert json.loads(edge.seen[0][2]) == {"partitions": [], "close_when_done": True}
    assert run(["submit", str(file), "--function", "f", "--keep"]) == 0
    assert json.loads(edge.seen[-2][2]) == {"partitions": [], "close_when_done": False}
    assert run(["submit", str(file), "--keep", "--session", SESSION]) == 2, "it is not a new one"


def test_rerun_says_why_tasks_stay_as_they_are(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    task, why = str(task_id(SUBMISSION, 0)), "result 1, which it needs, was deleted"
    received = {"changed": 2, "unchanged": 1, "reasons": [{"task": task, "reason": why}]}
    edge.answers[f"POST /compute/v1/sessions/{SESSION}/tasks/rerun"] = (200, received)
    assert run(["rerun", SESSION, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == received
    assert run(["rerun", SESSION]) == 0
    shown = capsys.readouterr().out
    assert task in shown
    assert why in shown


def test_events_come_back_where_they_were(
    edge: Edge, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    edge.answers["GET /events"] = (200, b": connected\nid: 1-6\n\n" + block(7, completed=[UUID(int=1)]))
    monkeypatch.setattr("shared.client.events.PAUSE", 0.0)
    # The stream ends (the server went away), the next connection is refused for good.
    received = []

    def stop(line: Any) -> None:
        received.append(line)
        if len(received) == 2:
            edge.answers["GET /events"] = (403, {"detail": "no longer"})

    monkeypatch.setattr("shared.client.cli.show.line", stop)
    assert run(["events", "--session", SESSION, "--from-start", "--json"]) == 1
    assert "no longer" in capsys.readouterr().err
    assert [one["id"] for one in received] == ["1-7", "1-7"]
    assert received[0]["data"]["completed"] == [str(UUID(int=1))]
    assert [query for _, query, _, _ in edge.seen] == [
        {"session": SESSION, "from": "start"},
        {"session": SESSION},
        {"session": SESSION},
    ]


def blocks(*received: tuple[str, Any]) -> bytes:
    """Events of a watch, the last with a place."""
    text = ": connected\nretry: 1000\n\n"
    for number, (event, data) in enumerate(received):
        text += f"{f'id: 1-{number}' + chr(10) if number else ''}event: {event}\ndata: {json.dumps(data)}\n\n"
    return text.encode()


def test_watch_ends_with_its_session(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [str(task_id(SUBMISSION, line)) for line in range(4)]
    session = {"id": SESSION, "name": "[b]", "status": "running", "version": 1}
    edge.answers[f"GET /compute/v1/sessions/{SESSION}/watch"] = (
        200,
        blocks(
            ("snapshot.begin", session),
            ("snapshot.states", {"session": SESSION, "tasks": {"completed": ids[:2], "pending": ids[2:]}}),
            ("snapshot.end", {"session": SESSION}),
            ("session.closed", {"session": SESSION, "status": "closed", "version": 2}),
            ("task.changed", {"session": SESSION, "completed": ids[2:3], "failed": ids[3:]}),
        ),
    )
    assert run(["watch", SESSION]) == 0
    out = capsys.readouterr().out
    assert "4/4" in out
    assert "1 failed" in out
    assert run(["watch", SESSION, "--json"]) == 0
    counts = {"total": 4, "waiting": 0, "queued": 0, "running": 0, "completed": 3, "failed": 1, "cancelled": 0}
    assert json.loads(capsys.readouterr().out) == {"session": SESSION, "status": "closed", "tasks": counts}
    assert run(["watch", "unknown"]) == 1


TASK = "019a6f2e-5d3c-7a10-8c44-000200000007"
LOGS = f"GET /compute/v1/tasks/{TASK}/logs"


def page(text: str, start: int, *, attempt: int = 0, more: bool = False, ended: bool = False) -> dict[str, Any]:
    return {"task": TASK, "attempt": attempt, "text": text, "next": start, "more": more, "ended": ended}


def test_logs_are_printed_whole_and_harmless(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    pages = {"0": page("one [red]\n", 10, more=True), "10": page("two\t\x1b[2J\r\x9b\n", 19)}
    edge.answers[LOGS] = lambda query: (200, pages[query["start"]])
    assert run(["logs", TASK]) == 0
    assert capsys.readouterr() == ("one [red]\ntwo\t␛[2J␍\ufffd\n", "")
    assert [query for _, query, _, _ in edge.seen] == [{"start": "0"}, {"attempt": "0", "start": "10"}]
    assert run(["logs", TASK, "--attempt", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == page("one [red]\ntwo\t\x1b[2J\r\x9b\n", 19)
    assert edge.seen[2][1] == {"attempt": "3", "start": "0"}
    assert run(["logs", "unknown"]) == 1


def test_logs_follow_a_task_to_its_end(
    edge: Edge, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.client.cli.commands.logs.EVERY", 0.0)
    first = [page("", 0), page("a\n", 2), page("", 2), page("lost\n", 7, ended=True)]
    second = [page("again\n", 6, attempt=1), page("", 6, attempt=1, ended=True)]
    script = iter([*first, second[0], *second, second[1]])
    edge.answers[LOGS] = lambda _: (200, next(script))
    assert run(["logs", TASK, "-f"]) == 0
    assert capsys.readouterr().out == "a\nlost\nagain\n"
    asked = [(query.get("attempt"), query["start"]) for _, query, _, _ in edge.seen]
    assert asked == [(None, "0"), *(("0", n) for n in "022"), (None, "0"), ("1", "0"), ("1", "6"), (None, "0")]
    script = iter(first)
    assert run(["logs", TASK, "--attempt", "0", "--follow", "--json"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [first[1], first[3]]


def test_offers_are_shown_best_first_and_taken(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    offer = {
        "meta": {"uuid": SESSION, "messages": []},
        "site": "site-a",
        "partition": "site-a",
        "phase": "OFFERED",
        "prepare_seconds": 0.0,
        "starts_in_seconds": 0.0,
        "cores": 2,
        "reasons": ["holds all 1.9 MB of [b]x[/b]", "2 of 2 cores free"],
    }
    silent = {"level": "WARN", "time": "", "message": "site-b: no answer within 2 s"}
    made = {"result": "YES", "meta": {"messages": [silent]}, "offers": [offer]}
    edge.answers["POST /execution/v1/requests"] = (200, made)
    taken = offer | {"phase": "RUNNING", "session": "the-session"}
    edge.answers[f"POST /execution/v1/sessions/{SESSION}"] = (200, taken)
    assert run(["offers", "a/b", "--cores", "2"]) == 0
    out = capsys.readouterr().out
    for text in ("*", "site-a", "holds all 1.9 MB of [b]x[/b]", "no answer within 2 s"):
        assert text in out
    assert json.loads(edge.seen[0][2]) == {
        "compute": {"cores": {"min": 2}, "memory": {"min": 1}},
        "data": [{"kind": "urn:headrace:kind:dataset", "pid": "a/b"}],
    }
    for choice in ("best", SESSION):
        assert run(["offers", "a/b", "--accept", choice, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == taken
        update = {"kind": "uri:enum-value-update", "path": "/phase", "value": "ACCEPTED"}
        assert json.loads(edge.seen[-1][2]) == update
    assert run(["offers", "a/b", "--accept", "best"]) == 0
    assert "the-session" in capsys.readouterr().out
    edge.answers["POST /execution/v1/requests"] = (200, made | {"result": "NO", "offers": []})
    assert run(["offers", "a/b", "--accept", "best"]) == 1
    assert "no site makes an offer" in capsys.readouterr().err
    assert run(["offers", "a/b", "--cores", "0"]) == 2


def test_a_filter_is_an_or_of_ands(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    path = f"GET /compute/v1/sessions/{SESSION}/tasks"
    edge.answers[path] = (200, {"items": [], "next": ""})
    texts = ['error="a, b",priority>=5', "labels.a=b = c", "status in error|timeout, ended_at=null", "name !contains #"]
    assert run(["tasks", SESSION, *(word for text in texts for word in ("--where", text)), "--sort", "-ended_at"]) == 0
    asked = edge.seen[0][1]
    assert asked["sort"] == "-ended_at"
    assert json.loads(asked["where"]) == [
        [{"field": "error", "op": "=", "value": "a, b"}, {"field": "priority", "op": ">=", "value": 5}],
        [{"field": "labels.a", "op": "=", "value": "b = c"}],
        [
            {"field": "status", "op": "in", "value": ["error", "timeout"]},
            {"field": "ended_at", "op": "=", "value": None},
        ],
        [{"field": "name", "op": "!contains", "value": "#"}],
    ]
    edge.answers["GET /compute/v1/sessions"] = (200, {"items": [], "next": ""})
    assert run(["sessions", "--where", "client_submission=false,options.max_duration<1.5"]) == 0
    assert json.loads(edge.seen[1][1]["where"]) == [
        [
            {"field": "client_submission", "op": "=", "value": False},
            {"field": "options.max_duration", "op": "<", "value": 1.5},
        ]
    ]
    capsys.readouterr()


@pytest.mark.parametrize("text", ["", "priority", "priority>x", "nothing=1", "a=1,", 'error="a', 'error="a"b', "=1"])
def test_a_filter_that_is_none_is_wrong_usage(edge: Edge, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tasks", SESSION, "--where", text]) == 2
    assert "--where" in capsys.readouterr().err
    assert edge.seen == []


def test_partitions_are_made_changed_and_deleted(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    received = {"name": "gpu", "workers": 0, "slots": 0, "outstanding": 0, "running": 0, "waiting": 0}
    received |= {"priority": 5, "reserve": 2, "max": None}
    place = "/compute/v1/partitions/gpu"
    edge.answers["POST /compute/v1/partitions"] = (201, received)
    edge.answers[f"PATCH {place}"] = edge.answers[f"DELETE {place}"] = (200, received)
    edge.answers["GET /compute/v1/partitions"] = (200, {"items": [received], "next": ""})
    assert run(["partition", "create", "gpu", "--priority", "5", "--reserve", "2", "--max", "8"]) == 0
    assert "none" in capsys.readouterr().out
    assert run(["partition", "update", "gpu", "--max", "none", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == received
    assert run(["partition", "delete", "gpu"]) == 0
    assert run(["partition", "list"]) == 0
    assert "gpu" in capsys.readouterr().out
    assert [(asked, json.loads(body or b"null")) for asked, _, body, _ in edge.seen] == [
        ("POST /compute/v1/partitions", {"name": "gpu", "priority": 5, "reserve": 2, "max": 8}),
        (f"PATCH {place}", {"max": None}),
        (f"DELETE {place}", None),
        ("GET /compute/v1/partitions", None),
    ]
    edge.seen.clear()
    assert run(["partition", "update", "gpu"]) == run(["partition", "update", "gpu", "--max", "x"]) == 2
    assert edge.seen == []
