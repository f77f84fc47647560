"""Where the command finds Headrace, and how it starts."""

import subprocess
import sys
from pathlib import Path

import pytest

from shared.client.address import Address, find
from shared.client.cli.__main__ import build
from shared.client.errors import UsageError

HEAVY = ("httpx", "uvicorn", "nats", "asyncpg", "aioboto3")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / ".headrace"
    folder.mkdir()
    (folder / "address.json").write_text('{"http": "http://127.0.0.1:5/", "nats": "x"}')
    (folder / "token").write_text("from-file\n")
    return tmp_path


def test_the_nearest_folder_above_counts(home: Path) -> None:
    inner = home / "a" / "b"
    inner.mkdir(parents=True)
    assert find({}, inner) == Address("http://127.0.0.1:5", "from-file")


def test_the_environment_goes_first_each_for_itself(home: Path) -> None:
    assert find({"HEADRACE_HTTP_URL": "http://other"}, home) == Address("http://other", "from-file")
    assert find({"HEADRACE_TOKEN": "t"}, home) == Address("http://127.0.0.1:5", "t")


def test_what_is_missing_is_said(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    nowhere = tmp_path_factory.mktemp("empty")
    with pytest.raises(UsageError, match=r"set HEADRACE_HTTP_URL and HEADRACE_TOKEN, or .* `make run`"):
        find({}, nowhere)
    with pytest.raises(UsageError, match="set HEADRACE_HTTP_URL, or"):
        find({"HEADRACE_TOKEN": "t"}, nowhere)
    with pytest.raises(UsageError, match="HEADRACE_TOKEN"):
        find({"HEADRACE_HTTP_URL": "http://x"}, nowhere)
    for broken in ("", "{", "[]", '{"nats": "x"}'):
        (home / ".headrace" / "address.json").write_text(broken)
        with pytest.raises(UsageError, match="names no address"):
            find({}, home)
    (home / ".headrace" / "token").unlink()
    with pytest.raises(UsageError, match=r"set HEADRACE_HTTP_URL; .*token holds no token: set HEADRACE_TOKEN"):
        find({}, home)


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys; from shared.client.cli.__main__ import run; run(['--help']);"
        f"found = [m for m in {HEAVY!r} if m in sys.modules]; assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "headrace submit" in done.stdout


GROUPS = ("dead", "operation", "partition", "storage", "users", "groups", "tokens", "permissions")
"""Commands that have commands."""
VERBS = [("session", verb) for verb in ("pause", "resume", "close", "cancel", "stop-submission", "purge", "delete")]


def test_every_command_has_json_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    names = [name for name in build() if not name.startswith("-") and name not in GROUPS]
    assert {"status", "watch", "events", "explain", "submit", "download"} <= set(names)
    for command in (
        *((name,) for name in names),
        ("dataset", "abandon"),
        ("storage", "init"),
        ("dead", "list"),
        ("dead", "replay"),
        *(("operation", verb) for verb in ("show", "wait", "cancel")),
        *(("partition", verb) for verb in ("list", "create", "update", "delete")),
        *(("users", verb) for verb in ("list", "create", "update", "disable", "enable")),
        *(("groups", verb) for verb in ("list", "create", "delete", "add", "remove")),
        *(("tokens", verb) for verb in ("list", "create", "revoke")),
        *(("permissions", verb) for verb in ("list", "explain")),
        *VERBS,
    ):
        build()([*command, "--help"], result_action="return_none")
        shown = capsys.readouterr().out
        assert "--json" in shown, command
        assert f"headrace {' '.join(command)}" in shown.partition("Examples:")[2], command
