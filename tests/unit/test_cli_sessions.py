"""The commands that say what is to become of sessions and tasks, against an HTTP server with set answers."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from shared.client import http, polling
from shared.client.cli.__main__ import run
from shared.client.cli.watched_session import WatchedSession
from shared.client.events import Event
from shared.contracts.ids import submission_id, task_id
from shared.runtime.retry import Backoff
from tests.support.cli_edge import Edge

SESSION = "019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f"
AT = f"/compute/v1/sessions/{SESSION}"


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Edge]:
    made = Edge()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HEADRACE_HTTP_URL", made.url)
    monkeypatch.setenv("HEADRACE_TOKEN", "secret")
    monkeypatch.setattr(polling, "INTERVAL", Backoff(first=0.001, ceiling=0.001))
    monkeypatch.setattr(http, "BACKOFF", Backoff(first=0.001, ceiling=0.001))
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


def session(status: str, **more: Any) -> dict[str, Any]:
    return {"id": SESSION, "name": "n", "status": status, "operation": "", **more}


@pytest.mark.parametrize("verb", ["pause", "resume", "close", "cancel"])
def test_verbs_are_passed_on(edge: Edge, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    edge.answers[f"POST {AT}/{verb}"] = (200, session("paused"))
    assert run(["session", verb, SESSION]) == 0
    assert "paused" in capsys.readouterr().out
    assert run(["session", verb, SESSION, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == session("paused")
    problem = {"detail": "session x is CLOSED: it cannot pause", "field": "session", "trace": "abc"}
    edge.answers[f"POST {AT}/{verb}"] = (409, problem)
    assert run(["session", verb, SESSION]) == 1
    assert "it cannot pause" in capsys.readouterr().err
    assert {asked for asked, *_ in edge.seen} == {f"POST {AT}/{verb}"}


def test_a_session_is_opened_with_what_was_said_and_nothing_else(edge: Edge) -> None:
    edge.answers["POST /compute/v1/sessions"] = (201, session("running"))
    assert run(["session", "create"]) == 0
    assert json.loads(edge.seen[-1][2]) == {}
    said = ["--partition", "gpu", "--partition", "default", "--function", "f", "--max-retries", "0", "--ttl", "60"]
    assert run(["session", "create", "--name", "night", *said]) == 0
    assert json.loads(edge.seen[-1][2]) == {
        "name": "night",
        "partitions": ["gpu", "default"],
        "ttl": 60.0,
        "options": {"function": "f", "max_retries": 0},
    }


@pytest.mark.parametrize("group", ["session", "partition", "dead"])
def test_a_group_shows_examples_of_its_own(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([group, "--help"]) == 0
    examples = capsys.readouterr().out.partition("Examples:")[2].split("\n\n")
    assert examples[1:]
    assert all(line.startswith(f"headrace {group} ") for line in map(str.strip, examples) if line)


def test_the_older_commands_go_on(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    received = session("running", tasks={"total": 3, "completed": 2, "failed": 0})
    edge.answers[f"GET {AT}"] = (200, received)
    edge.answers[f"POST {AT}/close"] = (200, session("closed"))
    assert run(["session", SESSION]) == 0
    assert "total 3, completed 2" in capsys.readouterr().out
    assert run(["session", SESSION, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == received
    assert run(["close", SESSION, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == session("closed")


def test_stopping_submission_says_of_whom(edge: Edge) -> None:
    edge.answers[f"POST {AT}/stop-submission"] = (200, session("running"))
    assert run(["session", "stop-submission", SESSION, "--client"]) == 0
    assert run(["session", "stop-submission", SESSION, "--client", "--worker"]) == 0
    bodies = [json.loads(body) for _, _, body, _ in edge.seen]
    assert bodies == [{"client": True, "worker": False}, {"client": True, "worker": True}]


@pytest.mark.parametrize(
    "arguments",
    [["session"], ["session", "pause"], ["session", "stop-submission", SESSION], ["cancel"], ["cancel", "x"],
     ["rerun"], ["rerun", SESSION, "--task", "x"],
     ["rerun", SESSION, "--status", "error", "--task", "019a6f2e-5d3c-7a10-8c44-000200000007"]],
)  # fmt: skip
def test_wrong_usage_asks_nothing(edge: Edge, arguments: list[str]) -> None:
    assert run(arguments) == 2
    assert edge.seen == []


def test_purge_is_waited_for(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    script = iter(
        [
            (503, {"detail": "away"}),
            (200, session("closed", operation="chain")),
            (200, session("closed", operation="chain")),
            (200, session("purged")),
        ]
    )
    edge.answers[f"POST {AT}/purge"] = (202, session("closed", operation="chain"))
    edge.answers[f"GET {AT}"] = lambda _: next(script)
    assert run(["session", "purge", SESSION, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == session("purged")
    assert [asked for asked, *_ in edge.seen] == [f"POST {AT}/purge", *[f"GET {AT}"] * 4]


def test_a_purge_that_ends_otherwise_is_a_failure(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    edge.answers[f"POST {AT}/purge"] = (202, session("closed", operation="chain"))
    edge.answers[f"GET {AT}"] = (200, session("closed"))
    assert run(["session", "purge", SESSION]) == 1
    assert "is closed, and nothing goes on" in capsys.readouterr().err
    edge.answers[f"POST {AT}/purge"] = (409, {"detail": "session is RUNNING"})
    assert run(["session", "purge", SESSION]) == 1
    assert "session is RUNNING" in capsys.readouterr().err


def test_delete_is_waited_for_until_nothing_is_there(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    script = iter([(200, session("cancelled", operation="chain")), (404, {"detail": "there is no session"})])
    edge.answers[f"DELETE {AT}"] = (202, session("cancelled", operation="chain"))
    edge.answers[f"GET {AT}"] = lambda _: next(script)
    assert run(["session", "delete", SESSION, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == session("deleted")


def test_a_delete_whose_answer_was_lost_is_done(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    answers = iter([(400, {"detail": "no"}), (404, {"detail": "there is no session"})])
    edge.answers[f"DELETE {AT}"] = lambda _: next(answers)
    assert run(["session", "delete", SESSION]) == 1
    assert run(["session", "delete", SESSION]) == 1, "it was never there"
    assert "there is no session" in capsys.readouterr().err


def test_cancel_asks_each_session_once(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = submission_id(1), submission_id(2)
    tasks = [str(task_id(first, 1)), str(task_id(second, 5)), str(task_id(first, 0))]
    for one, owner in ((tasks[2], SESSION), (tasks[1], "other")):
        edge.answers[f"GET /compute/v1/tasks/{one}"] = (200, {"session": owner})
    edge.answers[f"POST {AT}/tasks/cancel"] = (200, {"changed": 1, "unchanged": 1})
    edge.answers["POST /compute/v1/sessions/other/tasks/cancel"] = (200, {"changed": 1, "unchanged": 0})
    assert run(["cancel", *tasks, tasks[0], "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"changed": 2, "unchanged": 1}
    bodies = {asked: json.loads(body) for asked, _, body, _ in edge.seen if asked.startswith("POST")}
    assert bodies == {
        f"POST {AT}/tasks/cancel": {"tasks": [tasks[2], tasks[0]]},
        "POST /compute/v1/sessions/other/tasks/cancel": {"tasks": [tasks[1]]},
    }
    assert run(["cancel", str(task_id(submission_id(3), 0))]) == 1


def test_rerun_of_all_or_some(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    edge.answers[f"POST {AT}/tasks/rerun"] = (200, {"changed": 2, "unchanged": 0})
    one = str(task_id(submission_id(), 1))
    assert run(["rerun", SESSION]) == 0
    assert "changed    2" in capsys.readouterr().out
    assert run(["rerun", SESSION, "--status", "timeout", "--status", "cancelled"]) == 0
    assert run(["rerun", SESSION, "--task", one]) == 0
    bodies = [json.loads(body) for _, _, body, _ in edge.seen]
    assert bodies == [{}, {"statuses": ["timeout", "cancelled"]}, {"tasks": [one]}]


# -- the watched that a watch draws


def event(name: str, **data: Any) -> Event:
    return Event("", name, json.dumps(data))


def test_a_watched_session_counts_each_task_once() -> None:
    submission, other = submission_id(), submission_id()
    ids = [str(task_id(submission, line)) for line in range(6)]
    watched = WatchedSession()
    watched.take(event("snapshot.begin", id=SESSION, status="running", version=3))
    watched.take(event("snapshot.states", tasks={"pending": ids[:2], "submitted": ids[2:3], "completed": ids[3:4]}))
    assert not watched.whole
    watched.take(event("snapshot.end"))
    assert watched.whole
    assert watched.counts() == {
        "total": 4, "waiting": 2, "queued": 1, "running": 0, "completed": 1, "failed": 0, "cancelled": 0
    }  # fmt: skip
    for _ in range(2):
        watched.take(event("submission.visible", submission=str(submission), tasks=6))
        watched.take(event("submission.visible", submission=str(other), tasks=2))
    assert (watched.counts()["total"], watched.counts()["waiting"]) == (8, 6)
    watched.take(event("task.changed", started=ids[:3], completed=ids[:1], failed=ids[5:], retried=[], results=["x"]))
    assert watched.counts() == {
        "total": 8, "waiting": 3, "queued": 0, "running": 2, "completed": 2, "failed": 1, "cancelled": 0
    }  # fmt: skip
    watched.take(event("task.changed", retried=ids[5:], cancelling=ids[1:2]))
    assert (watched.counts()["failed"], watched.counts()["waiting"]) == (0, 4)
    watched.take(event("session.paused", status="paused", version=5))
    watched.take(event("session.running", status="running", version=4))
    assert (watched.session["status"], watched.over) == ("paused", False)
    watched.take(event("session.cancelled", status="cancelled", version=6))
    assert not watched.over, "its tasks have not ended"
    rest = [str(task_id(other, line)) for line in range(2)]
    watched.take(event("task.changed", cancelled=[*ids[1:3], *ids[4:], *rest]))
    assert watched.over
    watched.take(event("snapshot.begin", id=SESSION, status="running", version=3))
    assert watched.counts()["total"] == 0
    watched.take(event("snapshot.end"))
    watched.take(event("submission.visible", submission=str(other), tasks=2))
    watched.take(event("session.deleted", status="deleted", version=9))
    assert watched.over


def test_a_watched_session_of_a_million_tasks_is_small() -> None:
    submission = submission_id()
    watched = WatchedSession()
    watched.take(event("submission.visible", submission=str(submission), tasks=1_000_000))
    watched.take(event("task.changed", completed=[str(task_id(submission, 999_999))]))
    assert watched.counts()["waiting"] == 999_999
    assert sum(len(lines) for lines in watched.lines.values()) == 1_000_000
