"""`headrace operations` and `headrace operation`, against an HTTP server with set answers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from shared.client.cli.__main__ import run
from shared.client.cli.commands.operations import amounts
from tests.support.cli_edge import Edge, serving

ID = "019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f"
ALL = "/operations/v1/operations"
AT = f"{ALL}/{ID}"
PROGRESS = {"datablocks": {"done": 1, "total": 3}, "bytes": {"done": 1536, "total": 4096}, "objects": {"done": 7}}


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Edge]:
    with serving(monkeypatch) as made:
        yield made


def operation(state: str = "running", **more: Any) -> dict[str, Any]:
    metadata = {
        "kind": "archive",
        "target": "datasets/night/1",
        "owner": "ann",
        "state": state,
        "step": "move_datablocks_to_lts",
        "created_at": "2026-11-30T21:00:00Z",
        "updated_at": "2026-11-30T21:00:01Z",
        "version": 3,
        "progress": PROGRESS,
    }
    return {"name": f"operations/{ID}", "metadata": metadata, "done": state not in ("running", "cancelling"), **more}


def test_amounts_in_words() -> None:
    assert list(amounts(PROGRESS)) == ["1 of 3 datablocks", "1.5 KiB of 4.0 KiB", "7 objects"]
    assert list(amounts({"validated_bytes": {"done": 0}, "validated_datablocks": {"done": 0, "total": 2}})) == [
        "0 B validated",
        "0 of 2 validated datablocks",
    ]


def test_what_is_listed_says_how_far_it_is(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    page = {"items": [operation()], "next": "behind"}
    edge.answers[f"GET {ALL}"] = (200, page)
    assert run(["operations"]) == 0
    out, err = capsys.readouterr()
    for text in (ID, "archive", "datasets/night/1", "running", "1 of 3 datablocks, 1.5 KiB of 4.0 KiB, 7 objects"):
        assert text in out
    assert "--token behind" in err
    assert run(["operations", "--active", "--kind", "archive", "--target", "datasets/night/1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == page
    _, query, *_ = edge.seen[-1]
    assert query == {"active": "true", "kind": "archive", "target": "datasets/night/1", "size": "100"}


def test_one_is_shown_and_cancelled(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    edge.answers[f"GET {AT}"] = (200, operation())
    assert run(["operation", "show", ID]) == 0
    assert "move_datablocks_to_lts" in capsys.readouterr().out
    edge.answers[f"POST {AT}/cancel"] = (200, operation("cancelling"))
    assert run(["operation", "cancel", ID, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metadata"]["state"] == "cancelling"
    edge.answers[f"POST {AT}/cancel"] = (409, {"detail": "a purge cannot be cancelled while it is at delete_objects"})
    assert run(["operation", "cancel", ID]) == 1
    assert "cannot be cancelled" in capsys.readouterr().err


def test_a_wait_asks_until_it_is_done(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    replies = [operation(), operation("succeeded", result={"id": ID})]
    edge.answers[f"GET {AT}"] = (200, operation())
    edge.answers[f"GET {AT}/wait"] = lambda query: (200, replies.pop(0))
    assert run(["operation", "wait", ID, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"] == {"id": ID}
    assert replies == []


def test_a_wait_for_what_fails_is_an_error(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    error = {"code": "internal", "message": "the tape is torn"}
    edge.answers[f"GET {AT}"] = (200, operation("failed", error=error))
    assert run(["operation", "wait", ID]) == 1
    assert "the tape is torn" in capsys.readouterr().err
