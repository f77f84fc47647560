"""Where root's PostgreSQL can lie: its user has to pass through every folder above."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.postgres import passable, readable


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
