"""`headrace users`, `groups` and `tokens` against an HTTP server with set answers."""

import io
import json
from collections.abc import Iterator

import pytest

from shared.client.cli.__main__ import run
from tests.support.cli_edge import Edge, serving

ADA = {
    "name": "ada",
    "roles": ["user"],
    "groups": ["physics", "staff"],
    "has_password": True,
    "created_at": "2026-12-01T00:00:00.000000Z",
    "disabled_at": None,
}
MADE = {"id": "t1", "user": "ada", "roles": ["user"], "token": "hr_secret", "expires_at": None}


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Edge]:
    with serving(monkeypatch) as made:
        yield made


def test_a_user_is_made_with_a_password_from_standard_input(
    edge: Edge, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    edge.answers["POST /ops/v1/users"] = (201, MADE)
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))
    assert run(["users", "create", "ada", "--role", "reader", "--role", "operator", "--password"]) == 0
    asked = json.loads(edge.seen[0][2])
    assert asked == {"name": "ada", "roles": ["reader", "operator"], "password": "correct horse battery"}
    assert "hr_secret" in capsys.readouterr().out


def test_users_and_groups_are_listed_and_changed(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    edge.answers |= {
        "GET /ops/v1/users": (200, {"items": [ADA], "next": "ada"}),
        "PATCH /ops/v1/users/ada": (200, ADA),
        "GET /ops/v1/groups": (200, {"items": [{"name": "physics", "members": 2, "created_at": ADA["created_at"]}]}),
        "PUT /ops/v1/groups/physics/members/ada": (204, b""),
        "DELETE /ops/v1/groups/physics": (204, b""),
    }
    assert run(["users", "list", "--size", "1"]) == 0
    shown = capsys.readouterr().out
    assert "physics, staff" in shown
    assert "ada" in shown.splitlines()[-1], "where the next page begins"
    for command, body in (
        ("disable", {"disabled": True}),
        ("enable", {"disabled": False}),
    ):
        assert run(["users", command, "ada"]) == 0
        assert json.loads(edge.seen[-1][2]) == body
    assert run(["users", "update", "ada"]) == 2, "nothing to change"
    assert run(["groups", "add", "physics", "ada"]) == run(["groups", "delete", "physics"]) == 0
    assert run(["groups", "list"]) == 0


def test_tokens_are_made_with_limits_listed_and_revoked(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    listed = {
        "id": "t1",
        "user": "ada",
        "label": "l",
        "scope": None,
        "created_at": ADA["created_at"],
        "expires_at": None,
    }
    edge.answers |= {
        "POST /ops/v1/tokens": (201, MADE),
        "GET /ops/v1/tokens": (200, {"items": [listed], "next": ""}),
        "DELETE /ops/v1/tokens/t1": (204, b""),
    }
    assert run(["tokens", "create", "--label", "l", "--scope", "compute:read", "--expires", "12h"]) == 0
    assert json.loads(edge.seen[-1][2]) == {"label": "l", "scope": ["compute:read"], "expires_seconds": 43_200}
    for wrong in ("12", "h", "1.5h", "-1d"):
        assert run(["tokens", "create", f"--expires={wrong}"]) == 2
    capsys.readouterr()
    assert run(["tokens", "list", "--all"]) == 0
    assert edge.seen[-1][1]["all"] == "true"
    assert "all of the user's" in capsys.readouterr().out
    assert run(["tokens", "revoke", "t1"]) == 0
