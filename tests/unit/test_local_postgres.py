"""Where root's PostgreSQL can lie: its user has to pass through every folder above."""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.home import Home, HomeError
from deploy.local.postgres import MAJOR, Postgres, passable, readable, wipe


@pytest.fixture
def tree() -> Iterator[Path]:
    """`above/folder/file`. Not in pytest's own folder, which is closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        above = Path(folder) / "above"
        (above / "folder").mkdir(parents=True)
        (above / "folder" / "file").touch(mode=0o644)
        yield above


def test_passing_through_needs_no_reading(tree: Path) -> None:
    tree.chmod(0o711)
    assert passable(tree / "folder")
    assert readable(tree / "folder" / "file")


def test_one_closed_folder_above_is_enough(tree: Path) -> None:
    tree.chmod(0o700)
    assert not passable(tree / "folder")
    assert not readable(tree / "folder" / "file")


def test_a_file_closed_to_others_is_not_readable(tree: Path) -> None:
    (tree / "folder" / "file").chmod(0o640)
    assert not readable(tree / "folder" / "file")


def as_nobody(*argv: str | Path) -> int:
    return subprocess.run(argv, user="nobody", group="nogroup", extra_groups=[], capture_output=True).returncode


@pytest.mark.skipif(os.geteuid() != 0, reason="somebody else runs PostgreSQL only where root starts it")
def test_roots_data_move_out_of_a_home_that_is_closed_now(tree: Path) -> None:
    home = Home(tree / "home")
    home.open()
    home.path.chmod(0o711)  # as it was
    inside, nobody = home.path / "postgres", pwd.getpwnam("nobody")
    (inside / "data").mkdir(parents=True)
    (inside / "data" / "PG_VERSION").write_text(MAJOR)
    for path in (inside, *inside.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    home.close()
    for _ in range(2):  # the second finds it where the first has put it
        home.open()
        Postgres(home, 1, {}, {}).place()
        home.close()
    beside = tree / "home.postgres"
    assert not inside.exists()
    assert as_nobody("cat", beside / "data" / "PG_VERSION") == 0
    assert as_nobody("ls", home.path) != 0
    assert as_nobody("cat", home.token_file) != 0
    assert [beside.stat().st_mode & 0o777, home.path.stat().st_mode & 0o777] == [0o700, 0o700]
    wipe(home.path)
    assert not beside.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="somebody else runs PostgreSQL only where root starts it")
def test_what_is_left_of_a_home_that_is_gone_is_not_taken_for_the_new_ones(tree: Path) -> None:
    (tree / "home.postgres").mkdir()
    home = Home(tree / "home")
    home.open()
    with pytest.raises(HomeError, match=r"home\.postgres is left over"):
        Postgres(home, 1, {}, {}).place()
    home.close()
