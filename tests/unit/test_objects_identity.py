"""Which storage is the right one, and how it becomes one."""

import json
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from deploy.local.home import Home
from deploy.local.storages import Storages
from shared.client.cli.__main__ import run
from shared.contracts.errors import Conflict, NotFound, Unavailable
from shared.objects.identity import Guard, encode, new
from shared.objects.layout import MARKER
from shared.objects.storage_init import init_folder


async def test_the_first_one_seen_is_the_one_that_counts() -> None:
    """Whether it is kept in a database or in memory: another of the same name is refused from then on."""
    recorded: dict[str, UUID] = {}

    async def record(name: str, id: UUID) -> UUID:
        return recorded.setdefault(name, id)

    right, other = new("lts"), new("lts")
    for guard in (Guard("lts"), Guard("lts", record=record), Guard("lts", right.id)):
        await guard.admit(encode(right), "/mnt")
        with pytest.raises(Unavailable, match=f"{other.id}, not {right.id}"):
            await guard.admit(encode(other), "/mnt")
        await guard.admit(encode(right), "/mnt")
    assert recorded == {"lts": right.id}
    with pytest.raises(Unavailable):  # after a restart, with the other one mounted
        await Guard("lts", record=record).admit(encode(other), "/mnt")
    with pytest.raises(Unavailable):
        await Guard("lts", uuid4(), record).admit(encode(right), "/mnt")


@pytest.mark.parametrize(
    ("marker", "why"),
    [
        (None, "not mounted"),
        (b"", "not a storage's marker"),
        (b"{}", "not a storage's"),
        (encode(new("b")), "'b', not"),
    ],
)
async def test_what_is_not_the_right_marker(marker: bytes | None, why: str) -> None:
    with pytest.raises(Unavailable, match=why):
        await Guard("a").admit(marker, "/mnt")


def test_a_folder_becomes_a_storage_once(tmp_path: Path) -> None:
    root = tmp_path / "share"
    with pytest.raises(NotFound, match="mount"):
        init_folder(root, "lts")
    root.mkdir()
    (root / "lost+found").mkdir()
    made = init_folder(root, "lts")
    assert init_folder(root, "lts") == made
    with pytest.raises(Conflict, match="'lts' already"):
        init_folder(root, "another", in_use=True)
    assert sorted(path.name for path in root.iterdir()) == [MARKER, "lost+found"]


def test_a_folder_that_holds_something_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(Conflict, match="--in-use"):
        init_folder(tmp_path, "lts")
    init_folder(tmp_path, "lts", in_use=True)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    url = tmp_path.as_uri()
    assert run(["storage", "init", "lts-a", url, "--json"]) == 0
    received = json.loads(capsys.readouterr().out)
    assert received.items() >= json.loads((tmp_path / MARKER).read_text()).items()
    assert run(["storage", "init", "lts-a", url]) == 0
    assert received["id"] in capsys.readouterr().out
    assert run(["storage", "init", "lts-b", url]) == 1
    assert "'lts-a' already" in capsys.readouterr().err
    assert run(["storage", "init", "lts", (tmp_path / "nowhere").as_uri()]) == 1
    assert run(["storage", "init", "lts", "/no/url"]) == 2
    monkeypatch.delenv("HEADRACE_S3_ENDPOINT", raising=False)
    assert run(["storage", "init", "bucket", "s3://bucket"]) == 2
    assert "HEADRACE_S3_ENDPOINT" in capsys.readouterr().err


def test_the_folders_of_a_home_are_made_once(tmp_path: Path) -> None:
    """What is gone at a later start is gone: nothing is made in its place. What was there before is marked."""
    home, lts = Home(tmp_path), tmp_path / "lts"
    (lts / "data").mkdir(parents=True)
    Storages(home).make_folder("lts-a", lts)
    marker = (lts / MARKER).read_text()
    Storages(home).make_folder("lts-a", lts)
    assert (lts / MARKER).read_text() == marker
    assert Storages(home).id("lts-a") == json.loads(marker)["id"]
    lts.rename(tmp_path / "away")
    Storages(home).make_folder("lts-a", lts)
    assert not lts.exists()
