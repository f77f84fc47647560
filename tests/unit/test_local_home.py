"""The folder of a stack: one supervisor at a time, secrets made once and closed to others."""

import errno
import os
from pathlib import Path

import pytest

from deploy.local.home import Home, HomeError, write_file, write_private
from deploy.local.postgres import wipe


@pytest.fixture
def opened(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.open()
    return home


def test_a_second_run_is_kept_out_and_told_by_whom(opened: Home) -> None:
    with pytest.raises(HomeError, match=str(os.getpid())):
        Home(opened.path).open()
    opened.close()
    again = Home(opened.path)
    again.open()
    again.close()


def test_secrets_are_made_once_and_closed_to_others(opened: Home) -> None:
    first = opened.secrets(["a", "b"])
    assert opened.secrets(["b", "c"])["b"] == first["b"]
    assert opened.secrets(["a"])["a"] == first["a"]
    assert len({*first.values()}) == 2
    for name in ("secrets.json", "token", "lock"):
        assert (opened.path / name).stat().st_mode & 0o077 == 0, name
    opened.close()


def test_the_token_is_the_same_in_the_next_run(opened: Home) -> None:
    token = opened.token_file.read_text()
    opened.close()
    again = Home(opened.path)
    again.open()
    assert again.token_file.read_text() == token
    again.close()


def test_too_little_room_is_named_and_nothing_is_made(tmp_path: Path) -> None:
    home = Home(tmp_path / "not" / "yet")
    with pytest.raises(HomeError, match="MiB are free"):
        home.open(floor=1 << 62)
    assert [*tmp_path.iterdir()] == []
    home.open()
    home.close()


def test_a_file_that_cannot_be_written_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    (tmp_path / "product").write_text("before")
    with pytest.raises(OSError, match="No space left"):
        write_file(tmp_path / "product", b"after")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"product": "before"}


def test_a_home_is_wiped_with_what_lies_elsewhere(opened: Home, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (opened.path / "postgres.location").write_text(f"{elsewhere}\n")
    with pytest.raises(HomeError, match="in use"):
        wipe(opened.path)
    opened.close()
    wipe(opened.path)
    assert not opened.path.exists()
    assert not elsewhere.exists()


def test_a_file_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(HomeError, match="cannot be used"):
        Home(tmp_path / "home").open()


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_can_look_into_it_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        home = Home(tmp_path / "home")
        home.open()
        home.secrets(["a"])
        home.close()
    finally:
        os.umask(before)
    assert home.path.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in home.path.iterdir() if path.is_file()} == {0}


def test_a_home_that_is_open_to_others_is_closed(opened: Home) -> None:
    opened.secrets(["a"])
    opened.close()
    opened.path.chmod(0o755)
    for name in ("token", "secrets.json", "lock"):
        (opened.path / name).chmod(0o644)
    again = Home(opened.path)
    again.open()
    again.close()
    assert again.path.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in again.path.iterdir() if path.is_file()} == {0}
